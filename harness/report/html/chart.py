"""Line charts as SVG: far smaller than Matplotlib's, sharp at any size, coloured by the page's style sheet."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.report.html.markup import Markup, element


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


_WIDTH, _HEIGHT = 400, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 12, 24
_FEW = 24
"""Points; so few are drawn as dots, too."""


@dataclass(frozen=True)
class Line:
    """One curve."""

    style: str  # class in the style sheet
    steps: Sequence[int]  # of each value, ascending
    values: Sequence[float]  # NaN and infinity interrupt the curve and are marked at the upper edge


def chart(lines: Sequence[Line], steps: Scale, values: Scale, *, label: str, mark: int | None = None) -> Markup:
    """Draw curves, in this order, over steps; the label says it for those who cannot see, a step may be marked."""
    parts = [*_grid(steps, values)]
    if mark is not None:
        x = _x(steps, mark)
        parts.append(element("path", d=f"M{x} {_TOP}V{_HEIGHT - _BOTTOM}", class_="mark"))
    for line in lines:
        parts += _drawn(line, steps, values)
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)


def _grid(steps: Scale, values: Scale) -> Iterator[Markup]:
    for tick in values.ticks:
        y = _y(values, tick)
        yield element("path", d=f"M{_LEFT} {y}H{_WIDTH - _RIGHT}", class_="grid")
        yield element("text", values.label(tick), x=str(_LEFT - 6), y=f"{y + 4:.1f}", text_anchor="end")
    for tick in steps.ticks:
        if tick == int(tick):
            yield element("text", steps.label(tick), x=str(_x(steps, tick)), y=str(_HEIGHT - 6), text_anchor="middle")


def _drawn(line: Line, steps: Scale, values: Scale) -> Iterator[Markup]:
    points = list(zip(line.steps, line.values, strict=True))
    path = "".join(_moves(points, steps, values))
    if path:
        yield element("path", d=path, class_=f"line {line.style}")
    if len(points) <= _FEW:
        for step, value in points:
            if math.isfinite(value):
                place = {"cx": str(_x(steps, step)), "cy": str(_y(values, value))}
                yield element("circle", r="3", class_=line.style, **place)
    odd = [_x(steps, step) for step, value in points if not math.isfinite(value)]
    if odd:
        crosses = "".join(f"M{x - 4:.1f} {_TOP - 4}l8 8m0 -8l-8 8" for x in odd)
        yield element("path", d=crosses, class_=f"cross {line.style}")


def _moves(points: Sequence[tuple[int, float]], steps: Scale, values: Scale) -> Iterator[str]:
    pen = "M"
    for step, value in points:
        if math.isfinite(value):
            yield f"{pen}{_x(steps, step)} {_y(values, value)}"
            pen = "L"
        else:
            pen = "M"


def _x(steps: Scale, step: float) -> float:
    return round(_LEFT + steps.share(step) * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(values: Scale, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - values.share(value) * (_HEIGHT - _TOP - _BOTTOM), 1)


_TICKS = 4
_LARGEST = 308
"""The largest power of ten that is a finite number."""


def linear(values: Iterable[float]) -> Scale:
    """Return an axis over finite values, with ticks at 1, 2 or 5 times a power of ten."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        pad = 0.5 * abs(high) or 0.5
        low, high = low - pad, high + pad
    span = high / _TICKS - low / _TICKS  # divided first: the difference of two huge numbers is infinite
    power = 10.0 ** math.floor(math.log10(span)) if span >= 1e-300 else span
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
