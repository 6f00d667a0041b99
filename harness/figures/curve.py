"""A curve for each series, and below them the leading digits of their values as colours."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from harness.figures.canvas import COLOURS, blank, curve_axes, frozen, own_style
from harness.figures.digits import DIGITS, digit_raster
from harness.figures.series import spread
from harness.record import Record


__all__ = ["curve"]

_WIDTH, _HEIGHT = 640, 480
_LEFT, _RIGHT = 72, 8
_ROOM = _WIDTH - _LEFT - _RIGHT
_CELL_HEIGHT = 16
_RASTER_BOTTOM = 20
_MOST_RASTERS = 4

_Points = tuple[Sequence[int], Sequence[float]]


def curve(
    record: Record,
    series: Mapping[str, _Points],
    *,
    limit: float,
    title: str,
    quantity: str,
    labelled: bool,
    beside: Mapping[str, _Points] | None = None,
) -> Figure:
    """Draw series against the step from 0 to a limit; for float64, their nine leading digits below.

    Args:
        record: whose series they are.
        series: name to steps and finite values.
        limit: upper end of the axis.
        title: of the labelled form.
        quantity: what the axis shows.
        labelled: for people; without, for pytest-mpl.
        beside: series that only the labelled form shows, as points.

    Returns:
        A 640x480 pixel figure, unknown to pyplot.
    """
    with own_style():
        figure = blank(_WIDTH, _HEIGHT)
        digits = record.precision == "float64"
        bottom = 0.46 if digits else 0.12
        place = (_LEFT / _WIDTH, bottom, _width(record.num_steps) / _WIDTH, 0.92 - bottom)
        axes = curve_axes(figure, place, (-0.5, record.num_steps - 0.5, 0.0, limit), labelled)
        for (name, points), colour in zip(series.items(), _repeated(COLOURS, len(series)), strict=True):
            axes.plot(*points, color=colour, linewidth=2, label=name)
        if digits:
            _add_digits(figure, [values for _, values in series.values()][:_MOST_RASTERS])
        if labelled:
            for (name, points), colour in zip((beside or {}).items(), COLOURS[1:], strict=False):
                axes.plot(*points, color=colour, linestyle="none", marker="o", label=name)
            axes.set(title=title, xlabel="step", ylabel=quantity)
            if len(series) > 1 or beside:
                axes.legend(loc="best", fontsize=9)
            _label_digits(figure, digits)
        return figure if labelled else frozen(figure)


def _width(steps: int) -> int:
    """Return the width in pixels of axes whose steps stand above the columns of the digits."""
    return _ROOM // steps * steps if 0 < steps <= _ROOM else _ROOM


def _repeated(colours: Sequence[str], count: int) -> list[str]:
    return [colours[i % len(colours)] for i in range(count)]


def _add_digits(figure: Figure, series: Sequence[Sequence[float]]) -> None:
    """Put one raster a series below each other, the first on top, in the room of one."""
    cell_height = _CELL_HEIGHT // len(series)
    for index, values in enumerate(reversed(series)):
        chosen = [values[i] for i in spread(len(values), _ROOM)]
        pixels_HWC = digit_raster(chosen, _ROOM // len(chosen), cell_height)
        figure.figimage(pixels_HWC, xo=_LEFT, yo=_RASTER_BOTTOM + index * DIGITS * cell_height, origin="upper")


def _label_digits(figure: Figure, digits: bool) -> None:
    if digits:
        height = (_RASTER_BOTTOM + DIGITS * _CELL_HEIGHT / 2) / _HEIGHT
        figure.text(0.06, height, "leading digits", rotation="vertical", va="center", ha="center", fontsize=10)
