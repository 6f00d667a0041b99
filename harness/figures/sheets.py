"""Sheets for people: a title that says what and whose, axes that share the rest, numbers as people write them."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from harness.errors import number
from harness.figures.canvas import DARK, blank
from harness.figures.series import shortened
from harness.record.record import Record


HEAD = 52
"""Pixels of the two lines of a title."""
MARGIN = 12
"""Pixels beside it."""
LETTER = 7
"""Pixels that a letter of a name has room for; few are wider."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
BAR = 9
"""Pixels that a scale of colours is high."""
BELOW = 44
"""Pixels that the numbers and the label below axes take."""
_STEPS = [1, 2, 5, 10]  # between ticks
_MANY, _THIN = 800, 0.6  # points of a curve, and the width of one that has more
_WIDE = 100.0  # from the smallest value to the largest: more than a linear axis can show
_HUGE = 1e200  # from here on the margins of a logarithmic axis are infinite


def sheet(width: int, height: int, title: str, record: Record, line: str = "") -> Figure:
    """Return a sheet of a size in pixels; its axes share what title and margins leave.

    The title says what is drawn, in at most `width` / 10 letters; below it stands whose it is, and a line more.
    """
    figure = blank(width, height)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - HEAD / height), w_pad=0.08, h_pad=0.06)
    figure.text(MARGIN / width, 1 - 10 / height, title, va="top", fontsize=11, weight="bold")
    rest = f" on {record.device}, {record.precision}, {number(record.num_steps, 'step')}{line and f': {line}'}"
    words = shortened(record.name, max(12, width // LETTER - 3 - len(rest))) + rest
    figure.text(MARGIN / width, 1 - 31 / height, words, va="top", color=DARK)
    return figure


def stacked(figure: Figure, *heights: float) -> list[Axes]:
    """Return axes below each other; heights are in pixels, if the sheet has as much room."""
    return list(figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])


def plain(value: float, _: object = None) -> str:
    """Return a number as people write it: without an offset and trailing zeros."""
    return f"{value:.10g}"


def power(value: float, _: object = None) -> str:
    """Return a power of ten as 10 with its exponent."""
    return "10" + str(round(math.log10(value))).translate(_SUPERSCRIPTS)


def place(value: float) -> str:
    """Return a power of ten in figures, if it is short."""
    return plain(value) if 1e-3 <= value <= 1e4 else power(value)


def step_axis(axes: Axes, steps: int) -> None:
    """Let the x axis show all steps, and nothing between two of them."""
    axes.set(xlabel="step", xlim=(-0.5, max(1, steps) - 0.5))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=_STEPS, min_n_ticks=1))


def value_axis(axes: Axes, values: Sequence[float], scale: str = "linear") -> None:
    """Let the y axis fit values: one that may be logarithmic is, where they are positive and of many sizes."""
    if scale == "log" and values and min(values) > 0 and _WIDE * min(values) < max(values) < _HUGE:
        axes.set_yscale("log")
        decades_on(axes.yaxis)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3, steps=_STEPS))
        axes.yaxis.set_major_formatter(plain)
    axes.grid(visible=True)


def line_width(points: int, usual: float) -> float:
    """Return how wide a curve is: a thin one, where the usual would fill the space between its peaks."""
    return usual if points <= _MANY else _THIN


def rows_beside(axes: Axes, texts: Sequence[str], first: float = 0.0) -> None:
    """Write a line to the right of each row of axes; the first is at 0, or where it is said."""
    beside = axes.secondary_yaxis("right")
    beside.set_yticks([first + row for row in range(len(texts))], texts)
    beside.tick_params(length=0)
    beside.spines[:].set_visible(False)


def decades_on(axis: Axis) -> None:
    """Write a logarithmic axis as powers of ten."""
    axis.set_major_formatter(power)
    axis.set_minor_locator(NullLocator())


def colour_bar(bar: Axes, scale: Normalize, colours: str | Colormap, label: str) -> None:
    """Fill the axes at the foot of a sheet with a scale of colours, and say what they mean."""
    drawn = bar.figure.colorbar(ScalarMappable(scale, colours), cax=bar, orientation="horizontal", label=label)
    drawn.outline.set_visible(False)
    if isinstance(scale, LogNorm):
        decades_on(bar.xaxis)
