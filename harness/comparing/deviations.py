"""How far each value of a record is from its baseline's, and how far it may be."""

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from harness.comparing.thresholds import Limit, limit
from harness.record.environment import differences
from harness.record.matching import TENSOR_KINDS
from harness.record.record import Record
from harness.record.streams import Stream, Value


_LEAST_LOGGED = 1e-4
"""A logged number below this counts by its absolute change: a centred mean is zero but for rounding."""

_DISTANCE = "distance"
"""Kind of the streams that say how far a training was from its baseline's stored states; the baseline's are zero."""

_KIND_SHARE = 1e-3
"""A tensor's gradient counts as zero-like below this share of the typical largest gradient (of its kind): a bias in
front of BatchNorm has a gradient of pure rounding noise, whose own size means nothing."""


class Divergence(NamedTuple):
    """Where a record first leaves its baseline."""

    step: int
    stage: str
    stream: str


@dataclass(frozen=True, slots=True)
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
        limit: what `size` had to stay within, and where that comes from.
    """

    step: int
    stage: str
    stream: str
    baseline: object
    value: object
    size: float
    limit: Limit

    @property
    def threshold(self) -> float:
        """What `size` had to stay within."""
        return self.limit.size

    @property
    def divergence(self) -> Divergence:
        """Step, stage and stream."""
        return Divergence(self.step, self.stage, self.stream)


def exact(stage: str, stream: str, step: int, before: object, now: object) -> Deviation:
    """Return the deviation of something that has no size: none or infinite."""
    return Deviation(step, stage, stream, before, now, 0.0 if before == now else math.inf, Limit(0.0))


def stream_deviations(baseline: Record, record: Record) -> Iterator[Deviation]:
    """Yield every value of both records with its deviation, within the threshold or not, stream by stream."""
    scales = _scales(baseline)
    find_limit = functools.partial(
        limit,
        precision=record.precision,
        elsewhere=bool(differences(baseline.environment, record.environment)),
        calibration=baseline.calibration if _is_put_back(record) else None,
    )
    names = [*baseline.streams, *(name for name in record.streams if name not in baseline.streams)]
    for name in names:
        before, now = baseline.streams.get(name), record.streams.get(name)
        if before is None and now is not None and name.startswith(f"{_DISTANCE}/"):
            before = Stream(now.stage, now.steps, (0.0,) * len(now.steps))
        stage = (before or now or Stream("forward", (), ())).stage
        scale = 1.0 if name.startswith(f"{_DISTANCE}/") else scales.get(name, 0.0)
        for step, old, new in _aligned(before, now):
            yield _deviation(stage, name, step, old, new, scale, find_limit(kind_of(name), stage, step))


def _is_put_back(record: Record) -> bool:
    """Tell whether a training went on from stored states on its way."""
    return any(name.startswith(f"{_DISTANCE}/") for name in record.streams)


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
    stage: str, stream: str, step: int, old: Value | None, new: Value | None, scale: float, limit: Limit
) -> Deviation:
    if not (isinstance(old, float) and isinstance(new, float)):
        return exact(stage, stream, step, old, new)
    return Deviation(step, stage, stream, old, new, _size(old, new, scale), limit)


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
        kinds[kind_of(name)] = max(kinds.get(kind_of(name), 0.0), size)
    floors = {n: _LEAST_LOGGED if s.stage in ("forward", "evaluation") else 0.0 for n, s in baseline.streams.items()}
    return {name: max(size, floors[name], _KIND_SHARE * kinds[kind_of(name)]) for name, size in own.items()}


def _typical(values: Iterable[Value]) -> float:
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    return median(sizes) if sizes else 0.0


def kind_of(stream: str) -> str:
    """Return what streams share a size and a limit: all gradients, one entry of all optimizer states, all accuracies.

    Other streams are a kind each.
    """
    first, *rest = stream.split("/")
    if first == _DISTANCE:
        return f"{_DISTANCE}/{kind_of('/'.join(rest))}"
    if first == "optimizer":
        return f"optimizer/{rest[-1]}"
    return first if first in TENSOR_KINDS else stream
