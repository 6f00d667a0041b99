"""Run the study and print its tables: `python -m tests.study`; what has run before is taken from build/study."""

import argparse
from collections.abc import Iterator, Sequence

from tests.study import long, lowprecision, table
from tests.study.benign import BENIGN, elsewhere
from tests.study.faults import FAULTS
from tests.study.runs import REFERENCE, Variant, run_all


def main() -> int:
    """Parse the options, run what is missing, print; return 1 if a fault was missed or a benign change alarms."""
    options = _options()
    if options.long:
        print(long.report(options.jobs))
        return 0
    both = not (options.faults or options.benign)
    faults = _chosen(FAULTS, options.only) if options.faults or both else []
    benign = [*BENIGN, *(elsewhere(options.other_python) if options.other_python else ())]
    benign = _chosen(benign, options.only) if options.benign or both else []
    lowprecision.baseline()  # the others are put back on its states
    run_all([REFERENCE, *faults, *benign], list(table.ways().values()), options.jobs)
    if not options.other_python:
        print("Another torch did not run: give --other-python.\n")
    judged = [table.judge(fault) for fault in faults], [table.judge(variant) for variant in benign]
    print("\n\n".join(_parts(*judged)))
    return int(bool(table.wrong(*judged)))


def _parts(faults: Sequence[table.Judged], benign: Sequence[table.Judged]) -> Iterator[str]:
    yield table.machine()
    yield table.rules_table(faults, benign)
    yield table.summary(faults, benign)
    if faults:
        yield f"## Faults\n\n{table.faults_table(faults)}"
    if benign:
        yield f"## Benign changes\n\n{table.benign_table(benign)}"
    yield from table.wrong(faults, benign)


def _chosen(variants: Sequence[Variant], ids: Sequence[str]) -> list[Variant]:
    return [variant for variant in variants if not ids or variant.id in ids]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.study", description=__doc__)
    parser.add_argument("--faults", action="store_true", help="only the faults")
    parser.add_argument("--benign", action="store_true", help="only the benign changes")
    parser.add_argument("--long", action="store_true", help="a few benign changes over 1,000 steps, and nothing else")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these")
    parser.add_argument("--other-python", default="", metavar="PATH", help="an interpreter with another torch")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
