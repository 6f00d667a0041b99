"""Measure how far benign variants of a low-precision training part from it: the thresholds of its baseline."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from harness.comparing.deviations import stream_deviations
from harness.comparing.thresholds import MARGIN
from harness.record import Calibration, Record
from harness.recording.perturbation import Perturbation, Rerun, Rerunner
from harness.recording.states import States


VARIANTS: Sequence[Rerun] = (
    Rerun("2 threads", Perturbation(threads=2)),
    Rerun("oneDNN off", Perturbation(onednn=False)),
    Rerun("other memory format", Perturbation(other_layout=True)),
    Rerun(
        "old CPU",
        environment={
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        },
    ),
    Rerun(
        "AVX2",
        environment={"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    ),
    Rerun("1-ulp jitter", Perturbation(jitter=1)),
    Rerun("another 1-ulp jitter", Perturbation(jitter=2)),
)
"""Real variants: jitter alone underestimates what other kernels and memory formats do."""


def calibrate(baseline: Record, states: States, rerun: Rerunner) -> Calibration:
    """Run the benign variants of a record that becomes the baseline, each put back on its states; see `measured`."""
    replays = {variant.text: rerun(dataclasses.replace(variant, states=states)).record for variant in VARIANTS}
    return measured(baseline, states, replays)


def measured(baseline: Record, states: States, replays: Mapping[str, Record]) -> Calibration:
    """Return the largest deviations of variants, by family of streams and steps since the last state.

    The variants that were run go by what was varied, in words.
    """
    largest: dict[str, dict[int, float]] = {}
    for replay in replays.values():
        for point in stream_deviations(baseline, replay):
            if point.stage != "schedule" and 0 < point.size < math.inf:
                place = point.step - max(start for start in states.steps if start <= point.step)
                sizes = largest.setdefault(point.stream.family, {})
                sizes[place] = max(sizes.get(place, 0.0), point.size)
    return Calibration(
        states=states.sha256,
        steps=states.steps,
        margin=MARGIN,
        variants=tuple(replays),
        largest={family: _growing(sizes) for family, sizes in largest.items()},
    )


def _growing(sizes: Mapping[int, float]) -> tuple[float, ...]:
    """Return sizes by place, to three digits, none below the one before: noise does not shrink within a segment."""
    rounded = (float(f"{sizes.get(place, 0.0):.2e}") for place in range(max(sizes) + 1))
    return tuple(accumulate(rounded, max))
