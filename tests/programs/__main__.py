"""Print what the gate adds to each program and where it catches each fault: `python -m tests.programs`.

With a folder, write the record of each program there instead.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness import compare
from tests.programs import PROGRAMS, Fault, added, can_run, edited, record, text


def main() -> None:
    """Print the table, or write the records."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="to write the record of each program to")
    folder = parser.parse_args().folder
    for name in filter(can_run, PROGRAMS):
        if folder is None:
            print("\n".join(_rows(name)))
        else:
            (folder / f"{name}.json").write_text(record(name, text(name)).to_text())


def _rows(name: str) -> Iterator[str]:
    baseline = record(name, text(name))
    steps = len({step for stream in baseline.streams.values() for step in stream.steps})
    yield f"{name:16} {len(added(text(name)))} lines added {steps:3} steps {baseline.seconds:6.2f} s"
    for fault in PROGRAMS[name]:
        found = compare(baseline, record(name, edited(name, fault))).first_divergence
        wrong = "" if found == fault.place else f"   expected {fault.place}"
        yield f"    {_edit(fault):70} {found and f'step {found.step}, {found.stage}, {found.stream}'}{wrong}"


def _edit(fault: Fault) -> str:
    return f"{fault.right.strip()} -> {fault.wrong.strip() or 'nothing'}"


if __name__ == "__main__":
    main()
