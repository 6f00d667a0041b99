"""The map of deviations: how far each stream is from its baseline, step by step, in causal order."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.record import STAGES
from harness.report.finding import MOST_COLUMNS, MOST_ROWS, Number, Row, plain
from harness.report.words import stream_text


_DECADES, _MANY = 2, 3
"""Powers of ten that share a level within the threshold, and beyond it."""
_WITHIN, _MOST = 4, 9
"""The last level within the threshold, and the last of all."""


def level(size: float, threshold: float) -> int:
    """Return how far a deviation is: 0 is equal, up to 4 within its threshold, 9 more than 1e12 times beyond it."""
    if size <= 0:
        return 0
    share = size / threshold if threshold else math.inf
    if not share < math.inf:
        return _MOST
    decades = math.log10(max(share, sys.float_info.min))
    if share <= 1:
        return int(max(1, math.ceil(decades / _DECADES) + _WITHIN))
    return min(_MOST, _WITHIN + 1 + int(decades / _MANY))


@dataclass
class _Cells:
    """A stream's furthest deviation of each column."""

    stage: str
    cells: dict[int, Deviation] = field(default_factory=dict)
    first: int | None = None
    largest: float = 0.0

    def add(self, column: int, point: Deviation) -> None:
        former = self.cells.get(column)
        if former is None or _rank(point) > _rank(former):
            self.cells[column] = point
        self.largest = max(self.largest, point.size)
        if point.is_beyond:
            self.first = point.step if self.first is None else min(self.first, point.step)


def _rank(point: Deviation) -> tuple[int, float]:
    return level(point.size, point.threshold), point.size


def rows(comparison: Comparison) -> list[Row]:
    """Return the streams of a comparison as rows; of many, what was logged and those that leave first."""
    points = [point for point in comparison.points if point.stream in comparison.streams and point.step >= 0]
    steps = 1 + max((point.step for point in points), default=0)
    columns = min(MOST_COLUMNS, steps)
    found: dict[str, _Cells] = {}
    for point in points:
        if point.is_judged:
            found.setdefault(point.stream, _Cells(point.stage)).add(point.step * columns // steps, point)
    urgent = sorted(found, key=lambda name: _urgency(found[name]))[:MOST_ROWS]
    shown = sorted(urgent, key=lambda name: STAGES.index(found[name].stage))
    return [_row(name, stream_text(name, comparison.structure), found[name], columns) for name in shown]


def _urgency(cells: _Cells) -> tuple[bool, float, float]:
    return cells.stage != "forward", math.inf if cells.first is None else cells.first, -cells.largest


def _row(name: str, text: str, found: _Cells, columns: int) -> Row:
    points = [found.cells.get(column) for column in range(columns)]
    return Row(
        stream=str(name),
        text=text,
        stage=found.stage,
        first=found.first,
        largest=plain(found.largest),
        levels="".join(str(level(point.size, point.threshold)) if point else " " for point in points),
        baseline=_numbers(point and point.baseline for point in points),
        values=_numbers(point and point.value for point in points),
    )


def _numbers(values: Iterable[object]) -> list[Number | None]:
    """Return numbers, of which a chart shows no more than seven digits; None for what is none."""
    return [plain(float(f"{float(value):.7g}")) if isinstance(value, int | float) else None for value in values]
