"""How near to nothing a fault may come: every fault by measured float64 thresholds, and by 1e-10 alone.

`python -m tests.study.near` plants the public faults and those near the limit in two architectures, three seeds each.
"""

import argparse
import collections
import functools
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Self

from harness import Record, compare
from harness.comparing.deviations import Divergence
from harness.comparing.variants import DRAWS
from harness.record import Baseline
from harness.recording.perturbation import Perturbation, Rerun
from tests.study import table
from tests.study.architectures import ARCHITECTURES, Architecture
from tests.study.baselines import calibrated, varied
from tests.study.faults import FAULTS, NEAR, NEARER, right_stages
from tests.study.runs import Conditions, Variant, run, run_here


SEEDS = (0, 1, 2)
STEPS = {"train_images": 500, "test_images": 250, "bs": 32, "micro": 16}
"""Two epochs of 16 steps, the last of a partial batch, of half as many images as in the study."""
FRESH = Rerun("a fourth draw", Perturbation(jitter=4))
"""Rounding that no threshold has seen."""
KINDS = {"public": FAULTS, "near the limit": NEAR, "a hundred times nearer": NEARER}
ALL = (*FAULTS, *NEAR, *NEARER)
_AUTOCAST = "autocast leaves float64 alone; the study's float32 runs see it"
_NORMALISED = "the normalisation behind it takes the scale away, and keeps no statistics: only rounding is left of it"
KNOWN = {
    "P01-reference": _AUTOCAST,
    "P01-second": _AUTOCAST,
    "N07-second": _NORMALISED,
    "N19-second": _NORMALISED,
}
"""Escapes by fault and architecture, and why they escape."""


@dataclass(frozen=True)
class Planted:
    """A fault in one architecture, with one seed, judged; without the comparisons, which are large.

    Args:
        fault: what was planted.
        architecture: in what.
        seed: of both trainings.
        found: whether measured thresholds catch it.
        found_by_fixed: whether 1e-10 for every number catches it.
        first: where the record first leaves the baseline beyond its measured thresholds.
        excess: by how many of them; 0.0 if nowhere.
        noted: whether the training begins with other weights, which only their digest shows.
    """

    fault: Variant
    architecture: Architecture
    seed: int
    found: bool
    found_by_fixed: bool
    first: Divergence | None
    excess: float
    noted: bool

    @classmethod
    def of(cls, fault: Variant, architecture: Architecture, seed: int, baseline: Baseline, record: Record) -> Self:
        """Judge the record of a fault by a baseline with measured thresholds, and by the same without them."""
        measured, fixed = compare(baseline, record), compare(baseline.record, record)
        return cls(
            fault,
            architecture,
            seed,
            found=measured.verdict == "different",
            found_by_fixed=fixed.verdict == "different",
            first=measured.first_divergence,
            excess=table.first_excess(measured) if measured.deviations else 0.0,
            noted=measured.starts_elsewhere,
        )

    @property
    def excuse(self) -> str:
        """Why it escapes if it does, if that is known."""
        return KNOWN.get(self.architecture.planted(self.fault).id, "")

    @property
    def place(self) -> str:
        """Step and stage of the first divergence."""
        return f"{self.first.step} {self.first.stage}" if self.first else "nothing"

    @property
    def named_right(self) -> bool:
        """Whether the first stage is right, or it is the initial weights and a note says so."""
        right = right_stages(self.fault)
        return (self.noted and "init" in right) or (self.first is not None and self.first.stage in right)


def conditions(seed: int) -> Conditions:
    """Return how every variant is run."""
    return Conditions(epochs=2, changes={**STEPS, "seed": seed})


@functools.cache
def baseline(number: int, seed: int) -> Baseline:
    """Return the measured baseline of an architecture, by its place in `ARCHITECTURES`."""
    reference = ARCHITECTURES[number].reference
    record = run(reference, conditions(seed)).record
    return calibrated(record, [*varied(reference, conditions(seed), DRAWS)])


def judge(fault: Variant, architecture: Architecture, seed: int) -> Planted:
    """Judge a fault; its runs are in the folder by now."""
    record = run(architecture.planted(fault), conditions(seed)).record
    return Planted.of(fault, architecture, seed, baseline(ARCHITECTURES.index(architecture), seed), record)


def fresh_share(architecture: Architecture, seed: int) -> float:
    """Return the largest share of its threshold that any number uses up under a draw that set none of them."""
    [(variant, varying)] = varied(architecture.reference, conditions(seed), [FRESH])
    record = run(variant, varying).record
    return table.largest_share(compare(baseline(ARCHITECTURES.index(architecture), seed), record))


def main() -> int:
    """Run what is missing and print; return 1 if a fault escapes that is not known to."""
    parser = argparse.ArgumentParser(prog="python -m tests.study.near", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="default: %(default)s")
    options = parser.parse_args()
    places = [(architecture, seed) for seed in options.seeds for architecture in ARCHITECTURES]
    train([order for place in places for order in _orders(*place)], options.jobs)
    judged = [judge(fault, *place) for place in places for fault in _fitting(place[0])]
    print("\n\n".join(_parts(judged, places)))
    return int(bool(escapes(judged)))


def train(orders: Sequence[tuple[Variant, Conditions]], jobs: int) -> None:
    """Run what is not yet in the folder, in `jobs` processes that each run many, and print a line each."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for number, seconds in enumerate(pool.map(run_here, *zip(*orders, strict=True)), 1):
            print(f"[{number}/{len(orders)}] {seconds:.1f} s, {orders[number - 1][0].id}", file=sys.stderr, flush=True)


def _orders(architecture: Architecture, seed: int) -> Iterator[tuple[Variant, Conditions]]:
    plain = conditions(seed)
    yield architecture.reference, plain
    yield from varied(architecture.reference, plain, [*DRAWS, FRESH])
    yield from ((architecture.planted(fault), plain) for fault in _fitting(architecture))


def _fitting(architecture: Architecture) -> list[Variant]:
    return [fault for fault in ALL if not architecture.why_not(fault)]


def _parts(judged: Sequence[Planted], places: Sequence[tuple[Architecture, int]]) -> Iterator[str]:
    yield summary(judged, [fresh_share(*place) for place in places])
    yield "\n".join(not_planted())
    yield faults_table(judged)
    yield "\n".join(_exceptions(judged))


def summary(judged: Sequence[Planted], shares: Sequence[float]) -> str:
    """Return what was caught, by kind and architecture; `shares` are those of a fresh draw."""
    header = [
        "architecture",
        "faults",
        "planted",
        "caught",
        "by 1e-10 alone",
        "stage named right",
        "least first / threshold",
    ]
    groups = [
        (architecture.what, kind, [j for j in judged if j.architecture == architecture and j.fault in faults])
        for architecture in ARCHITECTURES
        for kind, faults in KINDS.items()
    ]
    rows = [[what, kind, *_counts(group)] for what, kind, group in groups if group]
    lines = [table.in_columns(header, rows), "", f"A fourth draw reaches at most {max(shares):.0e} of a threshold."]
    return "\n".join(lines)


def _counts(group: Sequence[Planted]) -> list[str]:
    caught = [planted for planted in group if planted.found]
    numbers = [len(group), len(caught), sum(p.found_by_fixed for p in group), sum(p.named_right for p in caught)]
    return [*map(str, numbers), _least(caught)]


def _least(caught: Iterable[Planted]) -> str:
    least = min(caught, key=lambda planted: planted.excess, default=None)
    return f"{least.excess:.0e} ({least.fault.id}, seed {least.seed})" if least else "-"


def faults_table(judged: Sequence[Planted], faults: Sequence[Variant] = ALL) -> str:
    """Return one line a fault; of three marks each is a seed's, x for caught."""
    header = ["id", "fault"]
    for architecture in ARCHITECTURES:
        header += [architecture.id, "by 1e-10 alone", "first, step and stage", "right", "least first / threshold"]
    return table.in_columns(header, ([fault.id, fault.what, *_cells(fault, judged)] for fault in faults))


def _cells(fault: Variant, judged: Sequence[Planted]) -> Iterator[str]:
    for architecture in ARCHITECTURES:
        group = [planted for planted in judged if (planted.fault, planted.architecture) == (fault, architecture)]
        yield from _row(group) if group else ["not planted", "", "", "", ""]


def _row(group: Sequence[Planted]) -> list[str]:
    caught = [planted for planted in group if planted.found]
    return [
        _marks(group, lambda planted: planted.found),
        _marks(group, lambda planted: planted.found_by_fixed),
        ", ".join(collections.Counter(planted.place for planted in caught)) or "-",
        _marks(group, lambda planted: planted.found and planted.named_right),
        f"{min(planted.excess for planted in caught):.0e}" if caught else "-",
    ]


def _marks(group: Iterable[Planted], has: Callable[[Planted], bool]) -> str:
    return "".join("x" if has(planted) else "-" for planted in group)


def not_planted() -> list[str]:
    """Return which faults an architecture cannot have, a line each."""
    pairs = [(fault, architecture) for architecture in ARCHITECTURES for fault in ALL]
    return [
        f"- not planted in {architecture.id}: {fault.id}, {fault.what}: {why}"
        for fault, architecture in pairs
        if (why := architecture.why_not(fault))
    ]


def _exceptions(judged: Sequence[Planted]) -> Iterator[str]:
    for planted in judged:
        where = f"{planted.fault.id} in {planted.architecture.id}, seed {planted.seed} ({planted.fault.what})"
        if not planted.found:
            yield f"- escapes: {where}: {planted.excuse or 'NOT KNOWN'}"
        elif not planted.named_right:
            yield f"- named otherwise: {where}: {planted.place}"
        if planted.found_by_fixed and not planted.found:
            yield f"- only 1e-10 catches: {where}"


def escapes(judged: Iterable[Planted]) -> list[Planted]:
    """Return what was missed and is not known to be."""
    return [planted for planted in judged if not planted.found and not planted.excuse]


if __name__ == "__main__":
    raise SystemExit(main())
