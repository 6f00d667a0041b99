"""How far equal trainings may part: what each showed itself when it became a baseline, or what others showed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.record import Calibration, Record
from harness.record.calibration import place_of
from harness.record.gate import LOOSEST
from harness.record.streams import CALLS


THRESHOLD = 1e-10
"""Largest relative deviation of equal float64 trainings that were not measured themselves, and of learning rates.
Calm trainings stay below 4e-12 on other CPUs, most below 1e-13; lively ones do not."""
EVENTS_THRESHOLD = 1e-6
"""Largest relative deviation of equal float64 trainings in event files. Rounding to float32 turns any difference,
however small, into one of up to 2**-23 = 1.2e-7; the rest is room for tools that average in float32 what they log."""
MARGINS = {"float64": 30.0, "float32": 3.0, "bfloat16": 3.0}
"""Thresholds over what the variants of a calibration showed. Float64 is calibrated by jitter alone, low precision by
other kernels, too: with 3, none of 32 variants that were left out in turn alarmed, and all 129 faults were caught."""
DULL = 1e-6
"""A float64 threshold above this judges nothing: the training amplifies rounding until numbers mean little."""
LOOSE = 1e-9
"""Few trainings need thresholds above this; whoever reviews a gate wants to know how many have them."""
FAR = 100.0
"""Two calibrations of one training lie within this factor: of 20,460 pairs, of 52 programs, at most within 42."""
_UNBOUNDED = sys.float_info.max
"""The threshold of dull numbers: no finite one is different."""

_Points = Sequence[tuple[int, float]]
_LOSSES: _Points = (
    *((0, 1e-7), (1, 2e-7), (2, 7e-7), (3, 1e-6), (5, 1e-5), (7, 6e-5)),
    *((10, 4e-4), (15, 2e-3), (20, 3e-3), (31, 1e-2), (47, 2e-2)),
)
"""(step, relative deviation): how far losses of float32 runs part on other CPUs and thread counts, largest of 33 benign
variants of a 64-step training."""
_TENSORS: _Points = ((0, 1e-5), (1, 2e-4), (3, 6e-4), (7, 3e-3), (10, 5e-2), (31, 3e-1), (63, 7e-1))
"""Likewise gradient norms."""
_EVALUATED = 15
"""The first step with an evaluation there; losses of evaluations stayed within an eighth of this envelope. Accuracies
moved by up to 4 % of themselves, with 500 images: that says nothing of other metrics and of fewer images."""
_END = 0.99
"""Below 1, so that a number that falls to zero or changes its sign is different; what may go so far is not judged."""
_BFLOAT16_SHARE = 2.0**16
"""A bfloat16 has 16 bits less than a float32."""
FLOORS = {"float64": 1e-13, "float32": 2.0**-22, "bfloat16": 2.0**-7}
"""What a variant that happens not to move a number cannot lower: two units in the last place in low precision. In
float64 nothing that draws of rounding leave alone moved by more than a third of it on other machines."""
LOGGED = ("forward", "evaluation")
"""Stages whose numbers a training logs itself."""
_SMALL = 0.1
"""Logged numbers that are typically smaller count in float64 as if they were this large: they may be the difference, or
the centred mean, of larger ones, whose rounding they keep."""
_DATA_FACTOR = 64.0
"""More for fingerprints of float images, whose projection adds up the rounding of every pixel: pixels normalised by
multiply and add move it by 5 units."""
_ACCURACY_FLOOR = 0.1
"""Accuracies are counts: one image of a class of fifty, classified otherwise, is 2 points."""


@dataclass(frozen=True)
class Limit:
    """What a deviation has to stay within.

    A limit that no plausible fault exceeds judges nothing: a number within it is not shown to be the baseline's. Its
    part that is explained is what rounding is known to do; what moved further is neither explained nor different.
    """

    size: float  # the largest relative deviation; beyond it a number is different
    measured: float | None = None  # the largest that a calibrating variant showed at this place, if there was any
    place: int = 0  # steps since the stored state that the training was put back on
    explained: float | None = None  # the largest that is known to be rounding, where that is less than `size`
    given: float = 0.0  # what the test allows, where that is more

    @property
    def judges(self) -> bool:
        """Whether whatever is within it is explained by rounding."""
        return self.explained is None

    def loosened(self, given: float) -> "Limit":
        """Return the limit of a number that its test gives a threshold: nothing else if that is not larger."""
        own = self.size if self.explained is None else self.explained
        if given <= own:
            return self
        explained = None if self.explained is None else given
        return replace(self, size=max(self.size, given), explained=explained, given=given)

    @property
    def of_the_rest(self) -> "Limit":
        """The limit of what has no size, as another count: none is allowed; where a variant showed one, none judged."""
        return self if self.measured == 1.0 and self.size == _UNBOUNDED else Limit(0.0)


def limit(
    family: str,
    stage: str,
    step: int,
    *,
    record: Record,
    elsewhere: bool,
    calibration: Calibration | None,
    typical: float = 1.0,
) -> Limit:
    """Return the largest deviation that two equal trainings may show in the streams of a family.

    A calibration with stored states counts if the training was put back on them. Steps are 0-based; of numbers from
    event files they are what the tool counts (epochs, samples), and low precision elsewhere may part at any of them as
    far as after many. Learning rates are computed in double precision whatever the training's own.

    Where nothing is judged, a limit says how much is explained nevertheless: of low precision elsewhere nothing, which
    was measured on another training; of dull numbers, and of those that variants carried out of all measure, what these
    showed times the margin, up to a tenth.

    Args:
        family: of the stream.
        stage: of the stream.
        step: of the number.
        record: the present one.
        elsewhere: whether its environment is another than the baseline's.
        calibration: of the baseline.
        typical: size of the stream's numbers.
    """
    in_event_files = record.source == "event files"
    if in_event_files and not record.is_low_precision:
        return Limit(EVENTS_THRESHOLD)
    if calibration is not None and not in_event_files:  # their names are a tool's
        return _calibrated(family, stage, step, record.precision, calibration, typical)
    if not record.is_low_precision or stage == "schedule":
        return Limit(EVENTS_THRESHOLD if in_event_files else THRESHOLD)
    return _borrowed(family, stage, step, record) if elsewhere else Limit(0.0)


def dull(calibration: Calibration, precision: str) -> dict[str, int]:
    """Return the families of streams that are not judged to the end, with the number of steps that they are.

    They count from the last stored state, or from the start where none is stored.
    """
    bound = _bound(precision)
    places = {
        family: next((place for place, size in enumerate(sizes) if calibration.margin * size > bound), None)
        for family, sizes in calibration.largest.items()
        if family not in CALLS
    }
    return {family: place for family, place in places.items() if place is not None}


def loosened(stored: Calibration, found: Calibration, precision: str) -> tuple[str, int, float, float] | None:
    """Return where a stored calibration allows far more than one that was measured again, or None.

    Returns:
        Family of streams, steps since the last stored state, and both sizes times their margins.
    """
    for family, sizes in stored.largest.items():
        for place, size in enumerate(sizes):
            allowed = max(FLOORS[precision], found.margin * found.at(family, place))
            if stored.margin * size > FAR * allowed:
                return family, place, stored.margin * size, allowed
    return None


def _calibrated(family: str, stage: str, step: int, precision: str, calibration: Calibration, typical: float) -> Limit:
    place = place_of(step, calibration.steps)
    measured = calibration.at(family, place)
    if stage == "schedule" and calibration.margin * measured <= THRESHOLD:
        return Limit(THRESHOLD)
    size = max(_floor(family, stage, precision, typical), calibration.margin * measured)
    if size <= _bound(precision):
        return Limit(size, measured, place)
    return Limit(_UNBOUNDED if precision == "float64" else _END, measured, place, min(size, LOOSEST))


def _bound(precision: str) -> float:
    """Return the largest calibrated threshold that judges."""
    return DULL if precision == "float64" else _END


def _borrowed(family: str, stage: str, step: int, record: Record) -> Limit:
    """Return how far low precision may part in another environment, by what another training showed."""
    evaluates = stage == "evaluation"
    if evaluates and "loss" not in family.rpartition("/")[2]:  # whatever the folders are called
        return Limit(_END, explained=0.0)
    points = _LOSSES if stage in LOGGED else _TENSORS
    at = points[-1][0] if record.source == "event files" else max(step, _EVALUATED if evaluates else 0)
    share = _BFLOAT16_SHARE if record.precision == "bfloat16" else 1.0
    size = min(_END, MARGINS[record.precision] * share * _interpolated(points, at))
    return Limit(size) if size <= LOOSEST else Limit(size, explained=0.0)


def _floor(family: str, stage: str, precision: str, typical: float) -> float:
    """Return the threshold of a number that no variant moved."""
    floor = FLOORS[precision]
    if stage == "data":
        return _DATA_FACTOR * floor
    if precision == "float64":
        logged = stage in LOGGED and 0 < typical < _SMALL
        return floor * _SMALL / typical if logged else floor
    return _ACCURACY_FLOOR if "accuracy" in family else floor


def _interpolated(points: _Points, step: int) -> float:
    """Interpolate the exponents between points; constant after the last."""
    for (left, low), (right, high) in pairwise(points):
        if step <= right:
            return float(low * (high / low) ** ((step - left) / (right - left)))
    return points[-1][1]
