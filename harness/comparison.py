"""Hold a record against its baseline: data, no text."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple

from harness.environment import differences
from harness.record import STAGES, Record, Stream, Value


__all__ = ["THRESHOLD", "Comparison", "Deviation", "Divergence", "Verdict", "compare"]

Verdict = Literal["same", "drift", "different"]
"""same: nothing moved beyond the threshold; drift: low precision moved as another environment explains; different."""

THRESHOLD = 1e-10
"""Largest relative deviation of equal float64 trainings. Other CPUs, thread counts and library versions stay below
4e-12, most below 1e-13; the smallest of 129 one-line faults that move a number at all reach 1e-8 within a few steps."""

_KIND_SHARE = 1e-3
"""A tensor's gradient counts as zero-like below this share of the typical largest gradient (of its kind): a bias in
front of BatchNorm has a gradient of pure rounding noise, whose own size means nothing."""

_ENVELOPE = ((0, 1e-5), (1, 2e-4), (3, 6e-4), (7, 3e-3), (10, 5e-2), (31, 3e-1), (63, 7e-1))
"""(step, relative deviation): how far float32 runs part on other CPUs and thread counts, largest of 33 benign variants
of a 64-step training (gradient norms; losses stay ten times below)."""
_ENVELOPE_MARGIN = 3.0
_BFLOAT16_SHARE = 2.0**16
"""A bfloat16 has 16 bits less than a float32."""


class Divergence(NamedTuple):
    """Where a record first leaves its baseline."""

    step: int
    stage: str
    stream: str


@dataclass(frozen=True)
class Deviation:
    """One value that is not its baseline's.

    Args:
        step: 0-based.
        stage: one of `record.STAGES`.
        stream: name of the stream.
        baseline: the baseline's value; None where it has none.
        value: the record's value; None where it has none.
        size: |value - baseline| over max(|baseline|, typical size of the stream); infinite for what is not a
            finite number or stands on one side only.
        threshold: what `size` had to stay within.
    """

    step: int
    stage: str
    stream: str
    baseline: object
    value: object
    size: float
    threshold: float

    @property
    def divergence(self) -> Divergence:
        """Step, stage and stream."""
        return Divergence(self.step, self.stage, self.stream)


@dataclass(frozen=True)
class Comparison:
    """A record held against its baseline.

    Args:
        baseline: the committed record.
        record: the present one.
        deviations: every value beyond its threshold, in causal order.
        largest: largest deviation of any number, within the threshold or not; 0.0 for equal records.
        num_values: values that were compared.
        num_streams: streams that were compared.
        environment: (name, former, present) of what changed around the training.
        recipe: (field, former, present) of what changed in the recipe.
    """

    baseline: Record
    record: Record
    deviations: tuple[Deviation, ...]
    largest: float
    num_values: int
    num_streams: int
    environment: tuple[tuple[str, str, str], ...]
    recipe: tuple[tuple[str, object, object], ...]
    _drifted: bool = False

    @property
    def verdict(self) -> Verdict:
        """same, drift or different."""
        if self.deviations:
            return "different"
        return "drift" if self._drifted else "same"

    @property
    def first_divergence(self) -> Divergence | None:
        """Step, stage and stream where the record first leaves its baseline, or None."""
        return self.deviations[0].divergence if self.deviations else None

    @property
    def unchanged(self) -> tuple[str, ...]:
        """Stages, in causal order, that agree up to and in the step of the first divergence."""
        return STAGES[: STAGES.index(self.deviations[0].stage)] if self.deviations else STAGES


def compare(baseline: Record, record: Record) -> Comparison:
    """Compare a record with its baseline, stage by stage in causal order.

    NaN and infinity deviate, in the baseline too; so do a missing or an extra step or stream. Integers and
    fingerprints must be equal. Floats may differ by 1e-10 of their size in float64. In float32 and bfloat16 they
    must be equal in the same environment; in another they may part as the measured envelope allows, which is drift.

    Args:
        baseline: the committed record.
        record: the present one.
    """
    environment = tuple(differences(baseline.environment, record.environment))
    points = [*_structure(baseline, record), *_streams(baseline, record, bool(environment))]
    beyond = sorted((p for p in points if not p.size <= p.threshold), key=_causal_order)
    largest = max((p.size for p in points), default=0.0)
    return Comparison(
        baseline=baseline,
        record=record,
        deviations=tuple(beyond),
        largest=largest,
        num_values=len(points),
        num_streams=len(baseline.streams.keys() | record.streams.keys()),
        environment=environment,
        recipe=tuple(_recipe(baseline.recipe, record.recipe)),
        _drifted=record.precision != "float64" and largest > 0,
    )


def _causal_order(deviation: Deviation) -> tuple[int, int]:
    # structure and data set are settled before any step; later entries of init belong to their step
    stage = STAGES.index(deviation.stage)
    return (-1 if deviation.stage == "structure" else deviation.step), stage


def _recipe(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    for field in {**before, **now}:
        if before.get(field) != now.get(field):
            yield field, before.get(field), now.get(field)


def _structure(baseline: Record, record: Record) -> Iterator[Deviation]:
    yield _exact("structure", "precision", 0, baseline.precision, record.precision)
    names = [*baseline.structure, *(name for name in record.structure if name not in baseline.structure)]
    for name in names:
        before, now = baseline.structure.get(name), record.structure.get(name)
        yield _exact("structure", name, 0, before, now)
    yield _exact("data", "dataset", 0, baseline.data, record.data)


def _exact(stage: str, stream: str, step: int, before: object, now: object) -> Deviation:
    return Deviation(step, stage, stream, before, now, 0.0 if before == now else math.inf, 0.0)


def _streams(baseline: Record, record: Record, elsewhere: bool) -> Iterator[Deviation]:
    scales = _scales(baseline)
    names = [*baseline.streams, *(name for name in record.streams if name not in baseline.streams)]
    for name in names:
        before, now = baseline.streams.get(name), record.streams.get(name)
        stage = (before or now or Stream("forward", (), ())).stage
        for step, old, new in _aligned(before, now):
            yield _deviation(stage, name, step, old, new, scales.get(name, 0.0), _threshold(record, elsewhere, step))


def _aligned(before: Stream | None, now: Stream | None) -> Iterator[tuple[int, Value | None, Value | None]]:
    """Pair values by step and, within a step, by order; what has no partner is paired with None."""
    old, new = _by_step(before), _by_step(now)
    for key in sorted(old.keys() | new.keys()):
        yield key[0], old.get(key), new.get(key)


def _by_step(stream: Stream | None) -> dict[tuple[int, int], Value]:
    paired: dict[tuple[int, int], Value] = {}
    last, count = -1, 0
    for step, value in zip(stream.steps, stream.values, strict=True) if stream else ():
        last, count = step, count + 1 if step == last else 0
        paired[step, count] = value
    return paired


def _deviation(
    stage: str, stream: str, step: int, old: Value | None, new: Value | None, scale: float, threshold: float
) -> Deviation:
    if not (isinstance(old, float) and isinstance(new, float)):
        return _exact(stage, stream, step, old, new)
    return Deviation(step, stage, stream, old, new, _size(old, new, scale), threshold)


def _size(old: float, new: float, scale: float) -> float:
    if not (math.isfinite(old) and math.isfinite(new)):
        return math.inf
    return abs(new - old) / max(abs(old), scale) if new != old else 0.0


def _scales(baseline: Record) -> dict[str, float]:
    """Return each stream's typical size: its median, or a small share of the largest of its kind if that is more."""
    own = {name: _typical(stream.values) for name, stream in baseline.streams.items()}
    kinds: dict[str, float] = {}
    for name, size in own.items():
        kinds[_kind(name)] = max(kinds.get(_kind(name), 0.0), size)
    return {name: max(size, _KIND_SHARE * kinds[_kind(name)]) for name, size in own.items()}


def _typical(values: Iterable[Value]) -> float:
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    return median(sizes) if sizes else 0.0


def _kind(stream: str) -> str:
    """Streams of one kind share a size: gradients of all tensors, one entry of the optimizer's state of all."""
    parts = stream.split("/")
    return f"optimizer/{parts[-1]}" if parts[0] == "optimizer" else parts[0]


def _threshold(record: Record, elsewhere: bool, step: int) -> float:
    if record.precision == "float64":
        return THRESHOLD
    if not elsewhere:
        return 0.0
    share = _BFLOAT16_SHARE if record.precision == "bfloat16" else 1.0
    return min(1.0, _ENVELOPE_MARGIN * share * _envelope(step))


def _envelope(step: int) -> float:
    """Interpolate the envelope's exponents between its points; constant after the last."""
    for (left, low), (right, high) in pairwise(_ENVELOPE):
        if step <= right:
            return float(low * (high / low) ** ((step - left) / (right - left)))
    return _ENVELOPE[-1][1]
