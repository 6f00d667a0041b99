"""What a result shows of a comparison's streams: curves, and deviations by step."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.record import Stream, StreamKey
from harness.report.finding import Curve, Number, Profile, plain


_Point = TypeVar("_Point")
_CURVES = 6
"""Curves of one training: the stream that leaves first, what was logged, and evaluations, in this order."""
_POINTS = 400
"""Points of a curve: more than a chart has pixels in width."""


def curves(comparison: Comparison) -> list[Curve]:
    """Return the streams that a person looks at first, of baseline and run."""
    names = list(dict.fromkeys(_worth_a_look(comparison)))[:_CURVES]
    before, now = comparison.baseline.record.streams, comparison.record.streams
    return [_curve(name, before.get(name), now.get(name)) for name in names]


def _worth_a_look(comparison: Comparison) -> Iterator[StreamKey]:
    streams = {**comparison.baseline.record.streams, **comparison.record.streams}
    shown = {name for name, stream in streams.items() if any(isinstance(value, float) for value in stream.values)}
    if comparison.deviations and comparison.deviations[0].stream in shown:
        yield comparison.deviations[0].stream
    for stage in ("forward", "evaluation"):
        yield from (name for name, stream in streams.items() if name in shown and stream.stage == stage)


def _curve(name: str, before: Stream | None, now: Stream | None) -> Curve:
    (baseline_steps, baseline), (steps, values) = _thinned(before), _thinned(now)
    stream = now or before
    assert stream is not None, "the name came from one of them"
    return Curve(
        stream=str(name),
        stage=stream.stage,
        baseline_steps=baseline_steps,
        baseline=baseline,
        steps=steps,
        values=values,
    )


def _thinned(stream: Stream | None) -> tuple[list[int], list[Number]]:
    """Return at most `_POINTS` points; of each bucket of a long stream, the smallest and the largest stay."""
    points = [*stream.numbers()] if stream else []
    if len(points) > _POINTS:
        points = [point for bucket in _buckets(points, _POINTS // 2) for point in _extremes(bucket)]
    return [step for step, _ in points], [plain(value) for _, value in points]


def _buckets(points: Sequence[_Point], count: int) -> Iterator[Sequence[_Point]]:
    ends = [index * len(points) // count for index in range(count + 1)]
    return (points[start:end] for start, end in pairwise(ends))


def _extremes(bucket: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the points of the smallest and the largest value, in order; of NaN and infinity, the first."""
    odd = next((point for point in bucket if not math.isfinite(point[1])), None)
    low, high = (choose(bucket, key=lambda point: point[1]) for choose in (min, max))
    return sorted({low, odd or high}, key=lambda point: point[0])


def profile(comparison: Comparison) -> Profile:
    """Return, for each step, the deviation that takes most of its threshold."""
    worst: dict[int, Deviation] = {}
    for point in comparison.points:
        former = worst.get(point.step)
        if former is None or _rank(point) > _rank(former):
            worst[point.step] = point
    points = [worst[step] for step in sorted(worst)]
    if len(points) > _POINTS:
        points = [max(bucket, key=_rank) for bucket in _buckets(points, _POINTS)]
    return Profile(
        steps=[point.step for point in points],
        sizes=[plain(point.size) for point in points],
        thresholds=[point.threshold for point in points],
    )


def _rank(deviation: Deviation) -> tuple[float, float, float]:
    return share(deviation.size, deviation.threshold), deviation.size, deviation.threshold


def share(size: float, threshold: float) -> float:
    """Return a deviation over its threshold; of a threshold of 0, nothing or infinitely much."""
    if threshold:
        return size / threshold
    return math.inf if size else 0.0
