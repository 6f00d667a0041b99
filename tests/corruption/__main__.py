"""Corrupt baselines, records and notes by the thousand, and print what came of each: `python -m tests.corruption`."""

import argparse
import resource

from tests.corruption.run import run, table


ADDRESS_SPACE = 16 * 2**30
"""Bytes; torch with its libraries claims several gigabytes of it without using them."""


def main() -> int:
    """Parse the options, run, print; return 1 if anything but a HarnessError came out, or a file outside."""
    parser = argparse.ArgumentParser(prog="python -m tests.corruption", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="cases (default: 10,000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default: 0)")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))  # a bomb ends this process, not the machine
    found = run(options.count, options.first)
    print(table(found))
    return bool(found.others or found.outside)


if __name__ == "__main__":
    raise SystemExit(main())
