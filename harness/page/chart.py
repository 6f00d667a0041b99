"""Line charts as SVG: small, sharp at any size, coloured by the page's style sheet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.page.markup import Markup, element
from harness.page.scale import Scale


__all__ = ["Line", "chart"]

_WIDTH, _HEIGHT = 400, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 12, 24
_FEW = 24
"""Points; so few are drawn as dots, too."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Args:
        style: class in the style sheet.
        steps: of each value, ascending.
        values: NaN and infinity interrupt the curve and are marked at the upper edge.
    """

    style: str
    steps: Sequence[int]
    values: Sequence[float]


def chart(lines: Sequence[Line], steps: Scale, values: Scale, *, label: str, mark: int | None = None) -> Markup:
    """Draw curves.

    Args:
        lines: drawn in this order.
        steps: the horizontal axis.
        values: the vertical one.
        label: what the chart shows, for those who cannot see it.
        mark: a step to mark by a vertical line.
    """
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
    crosses = "".join(_cross(_x(steps, step)) for step, value in points if not math.isfinite(value))
    if crosses:
        yield element("path", d=crosses, class_=f"cross {line.style}")


def _moves(points: Sequence[tuple[int, float]], steps: Scale, values: Scale) -> Iterator[str]:
    pen = "M"
    for step, value in points:
        if math.isfinite(value):
            yield f"{pen}{_x(steps, step)} {_y(values, value)}"
            pen = "L"
        else:
            pen = "M"


def _cross(x: float) -> str:
    return f"M{x - 4:.1f} {_TOP - 4}l8 8m0 -8l-8 8"


def _x(steps: Scale, step: float) -> float:
    return round(_LEFT + steps.share(step) * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(values: Scale, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - values.share(value) * (_HEIGHT - _TOP - _BOTTOM), 1)
