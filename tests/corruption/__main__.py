"""Corrupt baselines, records and notes by the thousand, and print what came of each: `python -m tests.corruption`."""

import argparse

from tests.corruption.run import run, table


def main() -> int:
    """Parse the options, run, print; return 1 if anything but a HarnessError came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.corruption", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="cases (default: 10,000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default: 0)")
    options = parser.parse_args()
    found = run(options.count, options.first)
    print(table(found))
    return bool(found.others)


if __name__ == "__main__":
    raise SystemExit(main())
