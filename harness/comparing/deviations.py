"""How far each value of a record is from its baseline's, and how far it may be."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from harness.comparing.moments import ONCE, Moment, micro_batches, moment, phases
from harness.comparing.thresholds import LOGGED, Limit, limit
from harness.record import STAGES, Calibration, Record, Stream, StreamKey, Streams, Value
from harness.record.environment import differences
from harness.record.gate import STRICT, Gate, fits
from harness.record.streams import CAUSES, DIGITS, FIRST_STEP


_LEAST_LOGGED = 1e-4
"""A logged number below this counts by its absolute change: a centred mean is zero but for rounding."""
_FAMILY_SHARE = 1e-3
"""A tensor's gradient counts as zero-like below this share of the typical largest gradient (of its family): a bias in
front of BatchNorm has a gradient of pure rounding noise, whose own size means nothing."""
_ROUNDED = 2 * 10.0 ** (1 - DIGITS)
"""What rounding to so many digits makes of equal numbers, at most."""


_FindLimit = Callable[..., Limit]
_Pair = tuple[int, Moment, Value | None, Value | None]
"""Step, moment, former and present value."""


class Divergence(NamedTuple):
    """Where a record first leaves its baseline."""

    step: int
    stage: str
    stream: StreamKey


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
        moment: when in the step it came.
    """

    step: int
    stage: str
    stream: StreamKey
    baseline: object
    value: object
    size: float
    limit: Limit
    moment: Moment = ONCE

    @property
    def threshold(self) -> float:
        """What `size` had to stay within."""
        return self.limit.size

    @property
    def severity(self) -> tuple[float, float, float]:
        """Its share of its threshold, then itself, then its threshold: the largest is the worst of several."""
        return share(self.size, self.threshold), self.size, self.threshold

    @property
    def is_beyond(self) -> bool:
        """Whether it is different."""
        return not self.size <= self.limit.size

    @property
    def is_judged(self) -> bool:
        """Whether it is known to be rounding, or different."""
        return self.limit.judges or self.is_beyond

    @property
    def is_undecided(self) -> bool:
        """Whether it moved further than rounding is known to, where nothing says that it is different."""
        explained = self.limit.explained
        return explained is not None and explained < self.size <= self.limit.size

    @property
    def is_other(self) -> bool:
        """Whether a bit of it is another; NaN is NaN."""
        return self.size > 0 and repr(self.baseline) != repr(self.value)

    @property
    def causal_order(self) -> tuple[int, int, int, int, bool]:
        """What sorts causes before effects: step, moment, stage; structure is settled before any step.

        So are the data set and the first initial weights: whatever is drawn for a batch is drawn after them. Where
        ranks part in their optimizer's steps, what counts to a step follows from that.
        """
        step = FIRST_STEP - 1 if self.stage == "structure" else self.step
        step = FIRST_STEP if (self.stage == "init" or self.stream == DATASET) and not self.step else step
        stage = -1 if self.stream == _STEPS_OF_RANKS else STAGES.index(self.stage)
        return step, self.moment.phase, self.moment.batch, stage, not self.stream.is_clue

    @property
    def divergence(self) -> Divergence:
        """Step, stage and stream."""
        return Divergence(self.step, self.stage, self.stream)


def worst(points: Iterable[Deviation], place: Callable[[Deviation], int]) -> dict[int, Deviation]:
    """Return the worst of the points that have a place in common, by place, ascending."""
    found: dict[int, Deviation] = {}
    for point in points:
        at = place(point)
        found[at] = max(found.get(at, point), point, key=lambda each: each.severity)
    return dict(sorted(found.items()))


def share(size: float, threshold: float) -> float:
    """Return a deviation over its threshold; of a threshold of 0, nothing or infinitely much."""
    if threshold:
        return size / threshold
    return math.inf if size else 0.0


_NONE = Limit(0.0)
DATASET = StreamKey("dataset")
"""The data set of a record, as if it were a stream."""
_STEPS_OF_RANKS = StreamKey.of("ranks", "optimizer_steps")
AGREED = "the same on all ranks"
"""What stands in the place of what merged ranks part in (`comparing.ranks`)."""
_BATCHES = StreamKey("batches of the step")
"""The number of micro-batches, likewise."""


def exact(
    stage: str,
    stream: StreamKey,
    step: int,
    before: object,
    now: object,
    *,
    limit: Limit = _NONE,
    moment: Moment = ONCE,
) -> Deviation:
    """Return the deviation of something that has no size: none or infinite; 1, as in calibrations, if not judged."""
    other = math.inf if limit.judges else 1.0
    return Deviation(step, stage, stream, before, now, 0.0 if before == now else other, limit, moment)


def stream_deviations(
    baseline: Record, record: Record, calibration: Calibration | None = None, gate: Gate = STRICT
) -> Iterator[Deviation]:
    """Yield every value of both records with its deviation, within the threshold or not, stream by stream.

    Streams of a kind that only one of the two recorders knew are left out. A calibration with stored states counts if
    the training was put back on them. A gate loosens thresholds, and lets NaN equal NaN.
    """
    scales, find_limit = _scales(baseline.streams), _limits(baseline, record, calibration)
    former, present = micro_batches(baseline), micro_batches(record)
    batches = former | present
    others = [step for step in former if present[step] not in (0, former[step])]
    yield from (exact("data", _BATCHES, step, former[step], present[step]) for step in others)
    for key in {**baseline.streams, **record.streams}:
        before, now = baseline.streams.get(key), record.streams.get(key)
        if key.kind == "ranks":
            yield from _of_ranks(key, now) if now else ()
            continue
        if key.distance and before is None and now is not None:
            before = dataclasses.replace(now, values=(0.0,) * len(now.steps))
        elif not (_knows(baseline, key) and _knows(record, key)):
            continue
        pairs = (_held if key.is_shape else _aligned)(key, before, now, batches)
        scale = 1.0 if key.distance else scales.get(key, 0.0)
        yield from _of_stream(key, _either(before, now).stage, pairs, scale, find_limit, gate)


def clue_deviations(baseline: Record, record: Record, calibration: Calibration | None = None) -> Iterator[Deviation]:
    """Yield likewise what names causes: of modules, the calls that both records have numbers of.

    Of a module that both call, a gradient may be missing: something cuts it off.
    """
    scales, find_limit = _scales(baseline.clues), _limits(baseline, record, calibration)
    batches = micro_batches(baseline) | micro_batches(record)
    for key in {**baseline.clues, **record.clues}:
        before, now = baseline.clues.get(key), record.clues.get(key)
        if key.kind in CAUSES and _knows(baseline, key) and _knows(record, key):
            stage = _either(before, now).stage
            pairs = _held(key, before, now, batches)
            yield from (exact(stage, key, step, old, new, moment=when) for step, when, old, new in pairs)
        elif {key, StreamKey.of("output", key.tensor)} & baseline.clues.keys() & record.clues.keys():
            pairs = _aligned(key, before, now, batches)
            points = _of_stream(key, _either(before, now).stage, pairs, scales.get(key, 0.0), find_limit, STRICT)
            yield from (point for point in points if _tells(point))


def _of_ranks(key: StreamKey, now: Stream) -> Iterator[Deviation]:
    """Yield what ranks part in: no baseline makes that right."""
    pairs = zip(now.steps, now.values, strict=True)
    return (exact(now.stage, key, step, AGREED, value) for step, value in pairs)


def _tells(point: Deviation) -> bool:
    """Tell whether a number of a module's call is another, or a gradient on one side only."""
    if None in (point.baseline, point.value):
        return point.stream.kind == "output_gradient"
    return point.size > _ROUNDED and repr(point.baseline) != repr(point.value)  # NaN is NaN


def _limits(baseline: Record, record: Record, calibration: Calibration | None) -> _FindLimit:
    elsewhere = bool(differences(baseline.environment, record.environment))
    if calibration and calibration.states and not any(key.distance for key in record.streams):
        calibration = None
    return functools.cache(  # the tensors of a family have the same
        functools.partial(limit, record=record, elsewhere=elsewhere, calibration=calibration)
    )


def _of_stream(
    key: StreamKey, stage: str, pairs: Iterable[_Pair], scale: float, find_limit: _FindLimit, gate: Gate
) -> Iterator[Deviation]:
    typical = scale if stage in LOGGED else 1.0
    given, may_repeat = gate.allowed(key), fits(key, gate.allow_nonfinite)
    for step, when, old, new in pairs:
        allowed = find_limit(key.family, stage, step, typical=typical)
        if isinstance(old, float) and isinstance(new, float):
            size = 0.0 if may_repeat and repr(old) == repr(new) else _size(old, new, scale)
            yield Deviation(step, stage, key, old, new, size, allowed.loosened(given), when)
        else:
            yield exact(stage, key, step, old, new, limit=allowed.of_the_rest, moment=when)


def _either(before: Stream | None, now: Stream | None) -> Stream:
    return now or before or Stream("forward", (), ())


def _knows(record: Record, key: StreamKey) -> bool:
    return key in record.streams or key.kind in record.kinds


def _aligned(key: StreamKey, before: Stream | None, now: Stream | None, batches: Mapping[int, int]) -> Iterator[_Pair]:
    """Pair values by step and, within a step, by order; what has no partner is paired with None."""
    old, new, stage, known = _by_place(before), _by_place(now), _either(before, now).stage, phases(before, now)
    places = sorted(old.keys() | new.keys())
    counts = dict(places)  # last place of each step
    for step, place in places:
        pair = old.get((step, place)), new.get((step, place))
        is_other = stage == "data" and None in pair  # another number of batches: the whole step is another
        phase, several = known.get((step, place), 0), batches.get(step, 1)
        when = ONCE if is_other else moment(key, stage, phase, place, counts[step] + 1, several)
        yield step, when, *pair


def _held(key: StreamKey, before: Stream | None, now: Stream | None, batches: Mapping[int, int]) -> Iterator[_Pair]:
    """Pair likewise values that hold until they change; numbers that only rounding parts are equal."""
    old: Value | None = None
    new: Value | None = None
    for step, when, former, present in _aligned(key, before, now, batches):
        old, new = old if former is None else former, new if present is None else present
        rounded = isinstance(old, float) and isinstance(new, float) and math.isclose(old, new)
        yield step, when, old, old if rounded else new


def _by_place(stream: Stream | None) -> dict[tuple[int, int], Value]:
    return dict(zip(stream.places(), stream.values, strict=True)) if stream else {}


def _size(old: float, new: float, scale: float) -> float:
    if not (math.isfinite(old) and math.isfinite(new)):
        return math.inf
    if new == old:
        return 0.0
    typical = max(abs(old), scale)
    return abs(new - old) / typical if typical else math.inf


def _scales(streams: Streams) -> dict[StreamKey, float]:
    """Return each stream's typical size: its median, or a small share of the largest of its family if that is more."""
    own = {key: _typical(stream.values) for key, stream in streams.items()}
    families: dict[str, float] = {}
    for key, size in own.items():
        families[key.family] = max(families.get(key.family, 0.0), size)
    logged = {key for key, stream in streams.items() if stream.stage in LOGGED and not key.is_clue}
    return {
        key: max(size, _LEAST_LOGGED if key in logged else 0.0, _FAMILY_SHARE * families[key.family])
        for key, size in own.items()
    }


def _typical(values: Iterable[Value]) -> float:
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    return median(sizes) if sizes else 0.0
