"""The map of deviations: how far each stream is from its baseline, step by step, in causal order."""

import math
import sys
from collections.abc import Iterable, Sequence

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation, share, worst
from harness.comparing.selection import judged, selection
from harness.record.stream_text import stream_text
from harness.report.finding import MOST_COLUMNS, MOST_ROWS, Number, Row, plain


_DECADES, _MANY = 2, 3
"""Powers of ten that share a level within the threshold, and beyond it."""
_WITHIN, _MOST = 4, 9
"""The last level within the threshold, and the last of all."""


def level(size: float, threshold: float) -> int:
    """Return how far a deviation is: 0 is equal, up to 4 within its threshold, 9 more than 1e12 times beyond it."""
    if size <= 0:
        return 0
    part = share(size, threshold)
    if not part < math.inf:
        return _MOST
    decades = math.log10(max(part, sys.float_info.min))
    if part <= 1:
        return int(max(1, math.ceil(decades / _DECADES) + _WITHIN))
    return min(_MOST, _WITHIN + 1 + int(decades / _MANY))


def rows(comparison: Comparison) -> list[Row]:
    """Return the streams of a comparison as rows, some of many (`selection`)."""
    steps = 1 + max((point.step for point in comparison.points if point.stream in comparison.streams), default=0)
    found = judged(comparison)
    return [
        _row(name, stream_text(name, comparison.structure), found[name], steps)
        for name in selection(comparison, MOST_ROWS)
    ]


def _row(name: str, text: str, points: Sequence[Deviation], steps: int) -> Row:
    columns = min(MOST_COLUMNS, steps)
    cells = worst(points, lambda point: point.step * columns // steps)
    ends = [choose(points, key=lambda point: point.step) for choose in (min, max)]
    shown = {point.step: point for point in (*ends, *cells.values())}
    drawn = [shown[step] for step in sorted(shown)]
    levels = {column: str(level(cell.size, cell.threshold)) for column, cell in cells.items()}
    return Row(
        stream=str(name),
        text=text,
        stage=points[0].stage,
        first=min((point.step for point in points if point.is_beyond), default=None),
        largest=plain(max(point.size for point in points)),
        levels="".join(levels.get(column, " ") for column in range(columns)),
        steps=[point.step for point in drawn],
        baseline=_numbers(point.baseline for point in drawn),
        values=_numbers(point.value for point in drawn),
    )


def _numbers(values: Iterable[object]) -> list[Number | None]:
    """Return numbers, of which a chart shows no more than seven digits; None for what is none."""
    return [plain(float(f"{float(value):.7g}")) if isinstance(value, int | float) else None for value in values]
