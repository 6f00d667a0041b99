"""Measure how far benign variants of a low-precision training part from it: the thresholds of its baseline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from harness.deviations import kind_of, stream_deviations
from harness.record import Calibration, Record
from harness.states import States
from harness.thresholds import MARGIN
from harness.variation import Variation


__all__ = ["VARIANTS", "Variant", "calibrate"]


@dataclass(frozen=True)
class Variant:
    """A benign change of how a training is computed.

    Args:
        text: the change in words.
        variation: what the recorder changes.
        environment: variables that choose other kernels; they are read when torch is imported, so such a variant
            needs a process of its own.
    """

    text: str
    variation: Variation = field(default_factory=Variation)
    environment: Mapping[str, str] = field(default_factory=dict)


VARIANTS: Sequence[Variant] = (
    Variant("2 threads", Variation(threads=2)),
    Variant("oneDNN off", Variation(onednn=False)),
    Variant("other memory format", Variation(other_layout=True)),
    Variant(
        "old CPU",
        environment={
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        },
    ),
    Variant(
        "AVX2",
        environment={
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        },
    ),
    Variant("1-ulp jitter", Variation(jitter=1)),
    Variant("another 1-ulp jitter", Variation(jitter=2)),
)
"""Real variants: jitter alone underestimates what other kernels and memory formats do."""


def calibrate(baseline: Record, states: States, replays: Mapping[str, Record]) -> Calibration:
    """Return the largest deviations of a baseline's variants, by kind of stream and steps since the last state.

    Args:
        baseline: the record that becomes the baseline.
        states: its states.
        replays: what was varied, in words, to the record of that variant, put back on the states.
    """
    largest: dict[str, dict[int, float]] = {}
    for replay in replays.values():
        for point in stream_deviations(baseline, replay):
            if point.stage != "schedule" and 0 < point.size < math.inf:
                place = point.step - max(start for start in states.steps if start <= point.step)
                sizes = largest.setdefault(kind_of(point.stream), {})
                sizes[place] = max(sizes.get(place, 0.0), point.size)
    return Calibration(
        states=states.sha256,
        steps=states.steps,
        margin=MARGIN,
        variants=tuple(replays),
        largest={kind: _growing(sizes) for kind, sizes in largest.items()},
    )


def _growing(sizes: Mapping[int, float]) -> tuple[float, ...]:
    """Return sizes by place, to three digits, none below the one before: noise does not shrink within a segment."""
    rounded = (float(f"{sizes.get(place, 0.0):.2e}") for place in range(max(sizes) + 1))
    return tuple(accumulate(rounded, max))
