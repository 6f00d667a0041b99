"""Figures of exact pixel size that no style, font or rcParam of the surroundings can change."""

import contextlib
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray


DPI = 100
"""Dots an inch; pytest-mpl saves at the figure's own."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#000000")
"""Colours that the colour-blind tell apart (Okabe and Ito, "Color Universal Design", 2008)."""

BLUE, ORANGE = COLOURS[:2]

GREY, LIGHT = "#888888", "#cccccc"


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Draw under Matplotlib's own defaults, whatever the user's style is."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def blank(width: int, height: int) -> Figure:
    """Return an empty white figure of a size in pixels, bound to no GUI and unknown to pyplot."""
    # a little more, because Matplotlib before 3.11 cuts 28.999999999999996 pixels to 28
    return Figure(figsize=((width + 1e-6) / DPI, (height + 1e-6) / DPI), dpi=DPI, facecolor="white")


def frozen(figure: Figure) -> Figure:
    """Draw a figure now, so that the style it is saved under cannot reach it: ticks take theirs when they are drawn."""
    return raster(pixels_of(figure))


def pixels_of(figure: Figure) -> NDArray[np.uint8]:
    """Draw a figure and return its pixels, shape (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def raster(pixels_HWC: NDArray[np.uint8]) -> Figure:
    """Return a figure that is exactly one image, shape (height, width, 3), pixel for pixel."""
    height, width = pixels_HWC.shape[:2]
    figure = blank(width, height)
    figure.figimage(pixels_HWC, origin="upper")
    return figure


def shades(values: NDArray[np.float64], low: float, high: float, colours: str | Colormap) -> NDArray[np.uint8]:
    """Return values as colours, shape (..., 3): `low` and below the first, `high` and above the last, NaN light grey.

    Args:
        values: any shape.
        low: its colour is the first of the map.
        high: its colour is the last.
        colours: name of one of Matplotlib's perceptually uniform colour maps, or a map that has a colour for NaN.
    """
    chosen = matplotlib.colormaps[colours].with_extremes(bad=LIGHT) if isinstance(colours, str) else colours
    pixels: NDArray[np.uint8] = chosen((values.clip(low, high) - low) / (high - low), bytes=True)
    return pixels[..., :3]


def curve_axes(
    figure: Figure, place: tuple[float, float, float, float], limits: tuple[float, float, float, float], labelled: bool
) -> Axes:
    """Add axes with fixed limits; without labels they hold no glyph.

    Args:
        figure: the figure.
        place: left, bottom, width, height as shares of the figure.
        limits: x from, x to, y from, y to.
        labelled: whether ticks carry numbers.
    """
    axes = figure.add_axes(place, xlim=limits[:2], ylim=limits[2:])
    options: dict[str, Any] = {} if labelled else {"labelleft": False, "labelbottom": False}
    axes.tick_params(length=4, **options)
    axes.grid(visible=True, color="#dddddd", linewidth=1)
    axes.set_axisbelow(True)
    return axes
