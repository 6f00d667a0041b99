"""What of a baseline its own training cannot have shown: thresholds and seeds that somebody wrote to be let through.

A checksum only tells accidents. What is refused here no measurement of ours can give, whatever was trained; what is
merely wide is named where it is used, and measured again by a generation in CI and by `harness doctor --verify`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

from harness.comparing import variants
from harness.comparing.metrics import summary
from harness.comparing.thresholds import DULL, MARGINS
from harness.record import Baseline, Calibration, Record
from harness.record.streams import TENSOR_KINDS


_BY_JITTER = 1e-12
"""Above what one unit in the last place of every weight makes of its norm: at most 4e-16."""
_AT_FIRST = DULL / MARGINS["float64"]
"""Of losses and gradients in the first two steps in float64, which would not be judged at all: 7,000 times what any of
the 52 programs of the study of growth showed there (4.9e-12, a Gaussian process)."""
_AFTER_A_STATE = {"float64": DULL / MARGINS["float64"], "float32": 0.33, "bfloat16": 0.33}
"""Of losses in the first step after a stored state: beyond it they would not be judged at all. Float32 shows 2e-7."""
_ROUNDING = 1e-12
"""Of a sum over seeds, which another Python may add up in another way."""


def implausible(baseline: Baseline) -> str:
    """Return the first thing that a baseline cannot have from its training, in words; empty if there is none."""
    return next(_doubts(baseline), "")


def _doubts(baseline: Baseline) -> Iterator[str]:
    record = baseline.record
    if baseline.gate.needs_reason and not baseline.gate.reason:
        yield "a gate that its test loosens, and no reason"
    if baseline.calibration:
        yield from _of_how(baseline.calibration, record)
        for family, sizes in baseline.calibration.largest.items():
            yield from _of_family(family, sizes, baseline.calibration, record)
        yield from _of_first_steps(baseline.calibration, record)
    if baseline.seeds:
        yield from _of_seeds(baseline.seeds, baseline.judged)


def _of_how(calibration: Calibration, record: Record) -> Iterator[str]:
    """Doubt how thresholds were measured."""
    margin = MARGINS[record.precision]
    if calibration.margin != margin:
        yield f"thresholds of {calibration.margin:g} times what was measured, where it is {margin:g} times"
    planned = [run.text for run in (*variants.DRAWS, *(variants.KERNELS if record.is_low_precision else ()))]
    for name in calibration.variants:
        if name not in planned or calibration.variants.count(name) > 1:
            yield f"a variant that was not planned, or twice: {name!r}"
    if record.source == "event files":
        yield "measured thresholds, though it was read from event files"
    if not calibration.states and (record.is_low_precision or calibration.steps != (0,)):
        yield "thresholds that count from stored states, and no states"
    if calibration.steps[-1] > record.num_steps:
        yield f"a state at step {calibration.steps[-1]}, of {record.num_steps} steps"


def _of_family(family: str, sizes: Sequence[float], calibration: Calibration, record: Record) -> Iterator[str]:
    """Doubt the sizes of a family of streams."""
    numbers = (*record.streams.items(), *record.clues.items())
    stages = {stream.stage for key, stream in numbers if key.family == family}
    distance, _, kind = family.partition("/")
    distant = calibration.states and distance == "distance" and kind.partition("/")[0] in TENSOR_KINDS
    if not (stages or distant):
        yield f"a threshold of {family!r}, which it does not hold"
    if list(sizes) != list(accumulate(sizes, max)):
        yield f"thresholds of {family!r} that shrink within a segment"
    if any(size < 1 for size in sizes[_longest(calibration, record) :]):
        yield f"thresholds of {family!r} for more steps than it has"
    if sizes and stages and not calibration.states:
        yield from _of_start(family, sizes[0], stages)


def _of_start(family: str, size: float, stages: set[str]) -> Iterator[str]:
    """Doubt the size in the first step: what comes before the weights is settled, and these moved by a last place."""
    if stages <= {"data", "schedule"} and size > 0:
        yield f"{family!r} moved in the first step, before any weight had its say"
    if stages == {"init"} and size > _BY_JITTER:
        yield f"{family!r} moved by {size:.1e} when every weight moved by one unit in the last place"


def _of_first_steps(calibration: Calibration, record: Record) -> Iterator[str]:
    """Doubt thresholds that judge nothing, or little, before rounding can have grown."""
    place, bound, since = 1, _AT_FIRST, "in the first two steps"
    if calibration.states:
        place, bound, since = 0, _AFTER_A_STATE[record.precision], "in the first step after a stored state"
    for stage in ("forward",) if calibration.states else ("forward", "backward"):
        families = {key.family for key, stream in record.streams.items() if stream.stage == stage}
        least = min((calibration.at(family, place) for family in families), default=0.0)
        if least > bound:  # a number that is all rounding may stand beside others
            yield f"rounding that moves every number of stage {stage} by {least:.1e} {since}"


def _longest(calibration: Calibration, record: Record) -> int:
    """Return the steps of the longest segment between two states; more of them only a variant can have had."""
    return max(end - start for start, end in pairwise((*calibration.steps, max(record.num_steps, 1))))


def _of_seeds(seeds: Mapping[int, Mapping[str, float]], record: Record) -> Iterator[str]:
    """Doubt the summaries of several seeds: the first is the record's own."""
    if sorted(seeds) != [record.seed + shift for shift in range(len(seeds))]:
        yield f"summaries of other seeds than {record.seed} and those that follow"
        return
    if record.non_finite():
        yield "summaries of seeds, and NaN or infinity"
        return
    own, stored = summary(record), seeds[record.seed]
    for name in own.keys() | stored.keys():
        if not math.isclose(own.get(name, math.nan), stored.get(name, math.nan), rel_tol=_ROUNDING):
            yield f"a summary of seed {record.seed} that is not its own record's, in {name}"
