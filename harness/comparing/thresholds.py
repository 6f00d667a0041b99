"""How far equal trainings may part, by precision; measured, not chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.record import Calibration, Record


THRESHOLD = 1e-10
"""Largest relative deviation of equal float64 trainings. Other CPUs, thread counts and library versions stay below
4e-12, most below 1e-13; the smallest of 129 one-line faults that move a number at all reach 1e-8 within a few steps."""
EVENTS_THRESHOLD = 1e-6
"""Largest relative deviation of equal float64 trainings in event files. Rounding to float32 turns any difference,
however small, into one of up to 2**-23 = 1.2e-7; the rest is room for tools that average in float32 what they log."""
MARGIN = 3.0
"""Thresholds of low precision over what benign variants showed: with 3, none of 32 variants that were left out in turn
alarmed, and all of 129 faults were caught."""

_Points = Sequence[tuple[int, float]]
_LOSSES: _Points = (
    *((0, 1e-7), (1, 2e-7), (2, 7e-7), (3, 1e-6), (5, 1e-5), (7, 6e-5)),
    *((10, 4e-4), (15, 2e-3), (20, 3e-3), (31, 1e-2), (47, 2e-2)),
)
"""(step, relative deviation): how far losses of float32 runs part on other CPUs and thread counts, largest of 33 benign
variants of a 64-step training."""
_TENSORS: _Points = ((0, 1e-5), (1, 2e-4), (3, 6e-4), (7, 3e-3), (10, 5e-2), (31, 3e-1), (63, 7e-1))
"""Likewise gradient norms."""
_END = 0.99
"""Below 1, so that a number that falls to zero or changes its sign is never explained."""
_BFLOAT16_SHARE = 2.0**16
"""A bfloat16 has 16 bits less than a float32."""
_FLOORS = {"float32": 2.0**-22, "bfloat16": 2.0**-7}
"""Two units in the last place: what a variant that happens not to move a number cannot lower."""
_DATA_FACTOR = 64.0
"""More for fingerprints of float images, whose projection adds up the rounding of every pixel: pixels normalised by
multiply and add move it by 5 units."""
_ACCURACY_FLOOR = 0.1
"""Accuracies are counts: one image of a class of fifty, classified otherwise, is 2 points."""


@dataclass(frozen=True)
class Limit:
    """What a deviation has to stay within."""

    size: float  # the largest relative deviation
    measured: float | None = None  # the largest that a calibrating variant showed at this place, if there was any
    place: int = 0  # steps since the stored state that the training was put back on


def limit(
    family: str, stage: str, step: int, *, record: Record, elsewhere: bool, calibration: Calibration | None
) -> Limit:
    """Return the largest deviation that two equal trainings may show in the streams of a family.

    Learning rates are computed in double precision whatever the training's own. Steps are 0-based; of numbers from
    event files they are what the tool counts (epochs, samples), and low precision elsewhere may part at any of them as
    far as after many. A calibration counts if the training was put back on the baseline's states.
    """
    in_event_files = record.source == "event files"
    if not record.is_low_precision or stage == "schedule":
        return Limit(EVENTS_THRESHOLD if in_event_files else THRESHOLD)
    if calibration is not None:
        return _calibrated(family, stage, step, record.precision, calibration)
    if not elsewhere:
        return Limit(0.0)
    share = _BFLOAT16_SHARE if record.precision == "bfloat16" else 1.0
    points = _LOSSES if stage == "forward" else _TENSORS
    return Limit(min(_END, MARGIN * share * _interpolated(points, points[-1][0] if in_event_files else step)))


def _calibrated(family: str, stage: str, step: int, precision: str, calibration: Calibration) -> Limit:
    place = step - max(start for start in calibration.steps if start <= step)
    sizes = calibration.largest.get(family, ())
    measured = sizes[min(place, len(sizes) - 1)] if sizes else 0.0
    rounding = _FLOORS[precision] * (_DATA_FACTOR if stage == "data" else 1.0)
    floor = _ACCURACY_FLOOR if "accuracy" in family else rounding
    return Limit(min(_END, max(floor, calibration.margin * measured)), measured, place)


def _interpolated(points: _Points, step: int) -> float:
    """Interpolate the exponents between points; constant after the last."""
    for (left, low), (right, high) in pairwise(points):
        if step <= right:
            return float(low * (high / low) ** ((step - left) / (right - left)))
    return points[-1][1]
