"""Hold a record against its baseline: data, no text."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

from harness.environment import differences
from harness.record import STAGES, Record, Stream, Value
from harness.renaming import TENSOR_KINDS, in_names_of
from harness.thresholds import threshold


__all__ = ["Comparison", "Deviation", "Divergence", "Verdict", "compare"]

Verdict = Literal["same", "drift", "different"]
"""same: nothing moved beyond the threshold; drift: low precision moved as another environment explains, or only values
of trained weights moved while losses, gradients, updates and evaluations did not; different: anything else."""

_LEAST_LOGGED = 1e-4
"""A logged number below this counts by its absolute change: a centred mean is zero but for rounding."""
_KIND_SHARE = 1e-3
"""A tensor's gradient counts as zero-like below this share of the typical largest gradient (of its kind): a bias in
front of BatchNorm has a gradient of pure rounding noise, whose own size means nothing."""


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
        baseline: the committed record, its tensors named as in the present one.
        record: the present one.
        deviations: every value beyond its threshold, in causal order.
        largest: largest deviation of any number, within the threshold or not; 0.0 for equal records.
        num_values: values that were compared.
        num_streams: streams that were compared.
        environment: (name, former, present) of what changed around the training.
        recipe: (field, former, present) of what changed in the recipe.
        renamed: (former, present) names of tensors that were matched by shape and order.
    """

    baseline: Record
    record: Record
    deviations: tuple[Deviation, ...]
    largest: float
    num_values: int
    num_streams: int
    environment: tuple[tuple[str, str, str], ...]
    recipe: tuple[tuple[str, object, object], ...]
    renamed: tuple[tuple[str, str], ...]

    @property
    def verdict(self) -> Verdict:
        """same, drift or different."""
        if not all(_is_harmless(deviation, self.record) for deviation in self.deviations):
            return "different"
        moved = self.deviations or (self.record.precision != "float64" and self.largest > 0)
        return "drift" if moved else "same"

    @property
    def growth(self) -> tuple[tuple[int, float], ...]:
        """(step, largest finite deviation) of the first three steps that deviate, and of the last."""
        largest: dict[int, float] = {}
        for deviation in self.deviations:
            if math.isfinite(deviation.size):
                largest[deviation.step] = max(largest.get(deviation.step, 0.0), deviation.size)
        steps = sorted(largest)
        return tuple((step, largest[step]) for step in dict.fromkeys([*steps[:3], *steps[-1:]]))

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
    So is a shift of trained weights that moves nothing else. Renamed tensors are matched by shape and order.

    Args:
        baseline: the committed record.
        record: the present one.
    """
    baseline, renamed = in_names_of(record, baseline)
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
        renamed=tuple(renamed.items()),
    )


def _is_harmless(deviation: Deviation, record: Record) -> bool:
    """Tell whether a deviation is only the value of a trained weight, which changes nothing if it stands alone.

    A shift of all biases in front of softmax is one. BatchNorm's state and averages of weights are not: they are
    there to be evaluated.
    """
    kind, _, tensor = deviation.stream.partition("/")
    trained = record.structure.get(tensor, {}).get("group") is not None
    return kind in ("init", "weight") and trained and math.isfinite(deviation.size)


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
        scale = scales.get(name, 0.0)
        for step, old, new in _aligned(before, now):
            yield _deviation(stage, name, step, old, new, scale, threshold(record.precision, elsewhere, step))


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
    if new == old:
        return 0.0
    typical = max(abs(old), scale)
    return abs(new - old) / typical if typical else math.inf


def _scales(baseline: Record) -> dict[str, float]:
    """Return each stream's typical size: its median, or a small share of the largest of its kind if that is more."""
    own = {name: _typical(stream.values) for name, stream in baseline.streams.items()}
    kinds: dict[str, float] = {}
    for name, size in own.items():
        kinds[_kind(name)] = max(kinds.get(_kind(name), 0.0), size)
    floors = {n: _LEAST_LOGGED if s.stage in ("forward", "evaluation") else 0.0 for n, s in baseline.streams.items()}
    return {name: max(size, floors[name], _KIND_SHARE * kinds[_kind(name)]) for name, size in own.items()}


def _typical(values: Iterable[Value]) -> float:
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    return median(sizes) if sizes else 0.0


def _kind(stream: str) -> str:
    """Tensors' streams of one kind share a size: all gradients, one entry of all optimizer states. Others have none."""
    parts = stream.split("/")
    if parts[0] == "optimizer":
        return f"optimizer/{parts[-1]}"
    return parts[0] if parts[0] in TENSOR_KINDS else stream
