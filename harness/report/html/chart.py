"""Line charts as SVG: far smaller than Matplotlib's, sharp at any size, coloured by the page's style sheet."""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby


@dataclass(frozen=True)
class Scale:
    """An axis."""

    low: float  # value at its beginning
    high: float  # value at its end; above `low`
    ticks: tuple[float, ...]  # values that carry a label
    log: bool = False  # whether decades are equally long

    def share(self, value: float) -> float:
        """Return where a finite value lies between beginning and end, 0 to 1; clipped."""
        low, high, at = (self._place(v) for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def _place(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value

    def label(self, tick: float) -> str:
        """Return a tick's text."""
        return f"{tick:.0e}".replace("e-0", "e-").replace("e+0", "e+") if self.log else f"{tick:.6g}"


_LETTER = 7
"""Width of a digit."""
_FEW = 24
"""Points; so few are drawn as dots, too."""


@dataclass(frozen=True)
class Line:
    """One curve."""

    style: str  # class in the style sheet
    points: Sequence[tuple[int, float]]  # step and value, ascending; NaN and infinity interrupt the curve


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over steps, and where they lie; `chart.html` draws them."""

    title: str
    label: str  # says it for those who cannot see
    lines: Sequence[Line]  # later ones over earlier ones
    steps: Scale
    floor: float | None = None  # least value that is told apart on a logarithmic scale; without it, the scale is linear
    mark: int | None = None  # a step

    width, height = 400, 210
    right, top, bottom = 390, 12, 186

    @cached_property
    def left(self) -> float:
        """Where the axis begins: right of its labels."""
        return max(56, 12 + _LETTER * max(len(self.values.label(tick)) for tick in self.values.ticks))

    @cached_property
    def values(self) -> Scale:
        """The scale that all values fit on."""
        values = [value for line in self.lines for _, value in line.points]
        return linear(values) if self.floor is None else logarithmic(values, self.floor)

    def x(self, step: float) -> float:
        """Return where a step lies."""
        return round(self.left + self.steps.share(step) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Return where a finite value lies."""
        return round(self.bottom - self.values.share(value) * (self.bottom - self.top), 1)

    def path(self, line: Line) -> str:
        """Return the way of the pen along a curve."""
        pieces = groupby(line.points, lambda point: math.isfinite(point[1]))
        drawn = (piece for finite, piece in pieces if finite)
        return "".join("M" + "L".join(f"{self.x(step)} {self.y(value)}" for step, value in piece) for piece in drawn)

    def dots(self, line: Line) -> list[tuple[float, float]]:
        """Return where the points of a curve lie, if they are few."""
        few = line.points if len(line.points) <= _FEW else ()
        return [(self.x(step), self.y(value)) for step, value in few if math.isfinite(value)]

    def odd(self, line: Line) -> list[float]:
        """Return where the steps lie whose value is not finite."""
        return [self.x(step) for step, value in line.points if not math.isfinite(value)]


class Sparkline(Chart):
    """The same without axes, as small as a word."""

    width, height = 240, 48
    left, right, top, bottom = 2.0, 238, 4, 44


def runs(levels: str) -> dict[str, str]:
    """Return the way of the pen for each level of a row of cells: runs of equal ones, in the middle of their row."""
    paths: dict[str, str] = {}
    start = 0
    for found, cells in groupby(levels):
        length = len([*cells])
        if found != " ":
            paths[found] = f"{paths.get(found, '')}M{start} .5h{length}"
        start += length
    return paths


_TICKS = 4
_LARGEST = 308
"""The largest power of ten that is a finite number."""
_TINY = 1e-300
"""Below it numbers lose their digits; no ticks fit between them."""


def linear(values: Iterable[float]) -> Scale:
    """Return an axis over finite values, with ticks at 1, 2 or 5 times a power of ten."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if high - low <= max(_TINY, 1e-12 * max(abs(low), abs(high))):
        pad = 0.5 * abs(high) if abs(high) > _TINY else 0.5
        low, high = max(low - pad, -sys.float_info.max), min(high + pad, sys.float_info.max)
    span = high / _TICKS - low / _TICKS  # divided first: the difference of two huge numbers is infinite
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= span * 0.999)
    first = math.ceil(low / step)
    ticks = tuple((first + k) * step for k in range(_TICKS + 2) if (first + k) * step <= high)
    return Scale(low, high, ticks)


def logarithmic(values: Iterable[float], floor: float) -> Scale:
    """Return an axis of whole decades over the finite positive values; those below the floor lie at it."""
    known = [max(value, floor) for value in values if 0 < value < math.inf] or [floor]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    low, high = min(low, _LARGEST - 1), min(max(high, low + 1), _LARGEST)
    every = max(1, math.ceil((high - low) / _TICKS))
    return Scale(10.0**low, 10.0**high, tuple(10.0**power for power in range(low, high + 1, every)), log=True)
