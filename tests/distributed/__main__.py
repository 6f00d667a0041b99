"""Trainings on real ranks: `python -m tests.distributed` prints three tables of them, each with what it must show.

1. One process with batches of 64 against two ranks with 32 and four with 16 (tensor parallel: the same 64): verdict
   and largest relative deviation, which must be below 1e-12. Accelerate, the Trainer of Transformers and Lightning run
   under torchrun, where they are installed.
2. Faults of distribution, as they were reported in public, on two ranks: each must be red at its first wrong step,
   with its place named.
3. A step under DistributedDataParallel on two ranks of gloo, recorded against bare, in turns: the ratio must be at
   most 1.10. What counts is the processes' own time.
"""

import sys
import tempfile
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from harness.comparing.ranks import compare_ranks
from harness.elsewhere.ranks import Ranks
from harness.record.ranks import of_all_ranks
from harness.record.stream_text import stream_text
from harness.report.words import step_text
from tests.adapters.test_distributed import held
from tests.adapters.test_distributed import run as launch
from tests.distributed import cost, faults
from tests.distributed.programs import LIBRARIES, PROGRAMS, on_a_rank, programs_of, trained


LARGEST = 1e-12
SIZES = 2, 4


def main() -> int:
    """Print all tables; return whether anything in them is not as it must be."""
    with tempfile.TemporaryDirectory() as place:
        print(f"{'one process against ranks':<46}{'ranks':>6}{'verdict':>11}{'largest':>9}   must be below {LARGEST}")
        good = [shown_parity(*row) for row in chain(parity(Path(place)), libraries(Path(place)))]
        print(f"\n{'fault':<23}{'reported in':<43}named")
        good += [shown_fault(*each) for each in faults.run(made(Path(place, "faults")))]
        good.append(shown_cost(*cost.measure(made(Path(place, "cost")))))
    return int(not all(good))


def made(folder):
    """Make a folder."""
    folder.mkdir(parents=True)
    return folder


def parity(place):
    """Yield what each program of ours is held against one process on: title, number of ranks, what was found."""
    singles = [trained(program) for program in PROGRAMS]
    for size in SIZES:
        folders = [made(place / f"{size}" / f"{number}") for number in range(len(PROGRAMS))]
        Ranks()(on_a_rank, str(place / f"{size}"), PROGRAMS, world_size=size)
        for program, folder, single in zip(PROGRAMS, folders, singles, strict=True):
            yield program.title, size, compare_ranks(of_all_ranks(folder, "parity"), single)


def libraries(place):
    """Yield likewise what the programs on libraries are; those that are not installed are said, and left out."""
    for library, name in LIBRARIES.items():
        if not find_spec(library):
            print(f"{name} is not installed")
            continue
        for size in (1, *SIZES):
            launch(library, place / library / f"{size}", ranks=size)
        for size in SIZES:
            for number, program in enumerate(programs_of(library)):
                yield program.title, size, held(place / library, number, size)


def shown_parity(title, size, held):
    """Print a row; return whether it is as it must be."""
    found = held.comparison
    print(f"{title:<46}{size:>6}{found.verdict:>11}{found.largest:>9.0e}", held.apart, flush=True)
    return found.verdict == "same" and found.largest < LARGEST and not held.apart


def shown_fault(name, comparison, _):
    """Print a row; return whether it is as it must be."""
    first, must = comparison.first_divergence, faults.FAULTS[name]
    named = f"{step_text(first.step)}, {first.stage}, {stream_text(first.stream)}" if first else "nothing"
    print(f"{name:<23}{must.report:<43}{named}", "" if first == must.first else f"must be {must.first}", flush=True)
    return first == must.first


def shown_cost(ours, theirs, ratio):
    """Print the last table; return whether the ratio is as it must be."""
    print(f"\nstep under DDP, two ranks of gloo: {ours:.1f} ms recorded, {theirs:.1f} ms bare, ratio {ratio:.3f}")
    print(f"must be at most {cost.LIMIT:.2f}")
    return ratio <= cost.LIMIT


if __name__ == "__main__":
    sys.exit(main())
