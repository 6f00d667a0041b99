"""Measure how far rounding alone moves a training: the thresholds of its baseline."""

import dataclasses
import math
import os
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, TypedDict

from harness.comparing.deviations import Deviation, clue_deviations, stream_deviations
from harness.comparing.thresholds import MARGINS
from harness.errors import UnseededError
from harness.record import STAGES, Calibration, Record
from harness.record.calibration import place_of
from harness.record.stream_text import stream_text
from harness.record.streams import CAUSES, LONGEST_RUN
from harness.recording.perturbation import Perturbation, Reran, Rerun, Rerunner


if TYPE_CHECKING:
    from harness.recording.states import States


DRAWS: Sequence[Rerun] = (
    Rerun("jitter 1", Perturbation(jitter=1)),
    Rerun("jitter 2", Perturbation(jitter=2)),
    Rerun("jitter 3", Perturbation(jitter=3)),
)
"""Before each step every weight is changed by one unit in the last place, at random. Under three draws float64 runs
part from themselves as they do elsewhere: of 1,656 runs as on other machines none went nine times as far."""
KERNELS: Sequence[Rerun] = (
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
)
"""Real variants, for low precision: where decisions flip, they move a training up to 19 times as far as jitter does."""


def require_repeatable(record: Record, rerun: Rerunner) -> None:
    """Run a training again as it is, in a process with another hash seed: it must be the same bit for bit.

    Raises:
        UnseededError: it is another.
        RerunError: it cannot be run again.
    """
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    reran = rerun(Rerun("another hash seed", Perturbation(watches_draws=True), {"PYTHONHASHSEED": seed}))
    if first := _parting(record, reran.record, STAGES):
        raise UnseededError.of(**first, **_drawn(record, reran))


def require_same(record: Record, rerun: Rerunner, states: "States | None" = None) -> None:
    """Run a training again as it is, wherever it is run again, before such a run is judged in its place.

    It must be the same bit for bit: what goes wrong once in a process (a cold cache, a race, a draw without a seed) is
    in the first training only, and no later one shows it.

    Args:
        record: of the first training.
        rerun: runs it again.
        states: empty ones that the second training fills.

    Raises:
        UnseededError: it is another.
        RerunError: it cannot be run again.
    """
    _require_equal(record, rerun(Rerun("no change", Perturbation(watches_draws=True), states=states)))


def put_back(record: Record, states: "States", rerun: Rerunner) -> Record:
    """Return the record of a recipe's training that is run again, put back on stored states: it is judged by them.

    That the first training is judged so, too, takes a third one: run again as it is, it must be the same bit for bit.
    In the judged one everything must be the same that states do not touch.

    Raises:
        UnseededError: one of them is another.
    """
    require_same(record, rerun)
    reran = rerun(Rerun("put back on stored states", states=states))
    _require_equal(record, reran, _BESIDE_WEIGHTS)
    return reran.record


def calibrate(record: Record, states: "States | None", rerun: Rerunner) -> Calibration | None:
    """Run the benign variants of a record that becomes the baseline; see `measured`.

    Args:
        record: what becomes the baseline.
        states: to put each variant back on; low precision is not calibrated without.
        rerun: runs the training again.

    Returns:
        The calibration, or None where there is none: in low precision without states, and where the record does not
        follow what is done to the training that is run again, as if it came from a file.

    Raises:
        UnseededError: its data or rates are others from the start.
        RerunError: it cannot be run again.
    """
    if record.is_low_precision and not states:
        return None
    draws = [rerun(dataclasses.replace(draw, states=states)) for draw in DRAWS]
    for reran in draws:
        if first := _parting(record, reran.record, _BESIDE_WEIGHTS, steps=1):
            raise UnseededError.of(**first, **_drawn(record, reran))
    if not states and all(is_repeated(record, reran.record) for reran in draws):
        return None
    kernels = KERNELS if record.is_low_precision else ()
    replays = {kernel.text: rerun(dataclasses.replace(kernel, states=states)).record for kernel in kernels}
    replays |= {draw.text: reran.record for draw, reran in zip(DRAWS, draws, strict=True)}
    return measured(record, states, replays)


_BESIDE_WEIGHTS = ("data", "schedule")
"""What neither states nor, in the first step, jitter of the weights can have moved."""


class _Place(TypedDict):
    step: int
    stage: str
    stream: str


def _require_equal(record: Record, reran: Reran, stages: Collection[str] = STAGES) -> None:
    """Refuse a training of the same session whose structure, initial weights or numbers of some stages are others."""
    if first := _settled(record, reran.record) or _parting(record, reran.record, stages):
        raise UnseededError.in_one_session(**first, **_drawn(record, reran))


class _Drawn(TypedDict):
    draws: str
    others: list[str]


def _drawn(record: Record, reran: Reran) -> _Drawn:
    """Return the line that drew without a seed, if any was seen, and random numbers that are others from the start."""
    again = reran.record.clues
    both = ((key, stream, again.find(key)) for key, stream in record.clues.of("random"))
    others = [stream_text(key) for key, then, now in both if now and then.values[:1] != now.values[:1]]
    return _Drawn(draws=reran.outcome[1], others=others)


def _settled(record: Record, again: Record) -> _Place | None:
    """Return what is another before the first step, if anything is."""
    if record.structure != again.structure:
        return _Place(step=0, stage="structure", stream="shape or settings of a tensor")
    return None if record.initial == again.initial else _Place(step=0, stage="init", stream="initial weights")


def is_repeated(record: Record, again: Record) -> bool:
    """Tell whether every number of a training is the one of another, bit for bit."""
    return _parting(record, again, STAGES) is None


def _parting(record: Record, again: Record, stages: Collection[str], steps: int = LONGEST_RUN) -> _Place | None:
    """Return where some stages of two trainings part first, bit for bit; None if they do not."""
    points = (point for point in stream_deviations(record, again) if point.is_other)
    parted = (point for point in points if point.stage in stages and point.step < steps)
    first = min(parted, key=lambda point: point.causal_order, default=None)
    if first is None:
        return None
    return _Place(step=first.step, stage=first.stage, stream=stream_text(first.stream, record.structure))


def measured(baseline: Record, states: "States | None", replays: Mapping[str, Record]) -> Calibration:
    """Return the largest deviations of variants, by family of streams and steps since the last state.

    The variants that were run go by what was varied, in words. A kind of number that the baseline lacks has no
    threshold: a later training that has it is another.
    """
    largest: dict[str, dict[int, float]] = {}
    starts = states.steps if states else (0,)
    families = {key.family for key in (*baseline.streams, *baseline.clues) if key.kind not in CAUSES}
    for replay in replays.values():
        for point in (*stream_deviations(baseline, replay), *clue_deviations(baseline, replay)):
            known = point.stream.distance or point.stream.family in families
            if known and _counts(point, baseline):
                place = place_of(point.step, starts)
                sizes = largest.setdefault(point.stream.family, {})
                sizes[place] = max(sizes.get(place, 0.0), min(1.0, point.size))
    return Calibration(
        variants=tuple(replays),
        margin=MARGINS[baseline.precision],
        largest={family: _growing(sizes) for family, sizes in largest.items()},
        states=states.sha256 if states else "",
        steps=starts,
    )


def _counts(point: Deviation, baseline: Record) -> bool:
    """Tell whether a variant's deviation says how far rounding moves a training.

    What has no size (another count, a missing number, NaN) does in float64, where it is judged no more and everybody is
    told; in low precision it would open the gate for a fault.
    """
    if baseline.is_low_precision:
        return point.stage != "schedule" and 0 < point.size < math.inf
    return point.is_other


def _growing(sizes: Mapping[int, float]) -> tuple[float, ...]:
    """Return sizes by place, to three digits, none below the one before: noise does not shrink within a segment."""
    rounded = (float(f"{sizes.get(place, 0.0):.2e}") for place in range(max(sizes) + 1))
    return tuple(accumulate(rounded, max))
