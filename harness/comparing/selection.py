"""Which streams of a comparison are shown where there is no room for all."""

import math

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.record import STAGES, StreamKey


def selection(comparison: Comparison, most: int) -> list[StreamKey]:
    """Return up to so many streams in causal order: those told first, then of each stage in turn what leaves first.

    What was logged counts as if it had left; what moved stands before what is equal.
    """
    worst = {name: _worst(points) for name, points in judged(comparison).items()}
    found = dict(sorted(worst.items(), key=lambda item: STAGES.index(item[1][0])))
    told = {point.stream for point in (comparison.first, *comparison.deviations[:1]) if point}
    turns: dict[StreamKey, int] = {}
    for stage in STAGES:
        members = sorted((name for name, (of, *_) in found.items() if of == stage), key=lambda name: found[name][1:])
        turns |= {name: turn for turn, name in enumerate(members)}

    def order(name: StreamKey) -> tuple[bool, int, int, float]:
        stage, first, share = found[name]
        kind = 0 if stage == "forward" or first < math.inf else 1 if share else 2
        return name not in told, kind, turns[name], first

    chosen = {*sorted(found, key=order)[:most]}
    return [name for name in found if name in chosen]


def judged(comparison: Comparison) -> dict[StreamKey, list[Deviation]]:
    """Return the values of each stream that are judged, without what came before the first step."""
    found: dict[StreamKey, list[Deviation]] = {}
    for point in comparison.points:
        if point.is_judged and point.step >= 0 and point.stream in comparison.streams:
            found.setdefault(point.stream, []).append(point)
    return found


def _worst(points: list[Deviation]) -> tuple[str, float, float]:
    """Return the stage of a stream, the first step beyond, infinite if there is none, and minus the largest share."""
    first = min((point.step for point in points if point.is_beyond), default=math.inf)
    return points[0].stage, first, -max(point.severity[0] for point in points)
