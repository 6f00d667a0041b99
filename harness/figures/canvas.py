"""Figures of exact pixel size that no style, font or rcParam of the surroundings can change."""

import contextlib
import functools
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray


Values = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_Arguments = ParamSpec("_Arguments")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#000000")
"""Colours that the colour-blind tell apart (Okabe and Ito, "Color Universal Design", 2008)."""

BLUE, ORANGE = COLOURS[:2]
DARK, GREY, LIGHT, GRID = "#555555", "#888888", "#cccccc", "#dddddd"

_FOR_PEOPLE: dict[Any, Any] = {
    "text.parse_math": False,  # a name may hold "$"
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": DARK,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "legend.fontsize": 8,
    "legend.frameon": False,
}
"""The style of the labelled form."""

_DRAWN: "weakref.WeakKeyDictionary[Figure, tuple[Callable[..., Figure], tuple[Any, ...], dict[str, Any]]]"
_DRAWN = weakref.WeakKeyDictionary()
"""Gated figures, and the call that drew each."""
_DPI = 100  # dots an inch; pytest-mpl saves at the figure's own


@contextlib.contextmanager
def own_style(*, labelled: bool = False) -> Iterator[None]:
    """Draw under Matplotlib's own defaults, whatever the user's style is; what is for people, in a style of ours."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name is anybody's: a box stands for it
        matplotlib.rcdefaults()
        if labelled:
            matplotlib.rcParams.update(_FOR_PEOPLE)
        yield


def in_both_forms(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Make a figure's two forms of the function that draws them: it says with `labelled` which one it wants.

    Both are drawn in our own style, and at once, so that the style they are saved under cannot reach them: ticks take
    theirs when they are drawn. What the gated one was drawn of is known while it lives (`twin`).
    """

    @functools.wraps(draw)
    def drawn(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        labelled = bool(kwargs.get("labelled"))
        with own_style(labelled=labelled):
            figure = draw(*args, **kwargs)
            if labelled:
                return _settled(figure)
            gated = raster(pixels_of(figure))
            _DRAWN[gated] = drawn, args, kwargs
            return gated

    return drawn


def _settled(figure: Figure) -> Figure:
    """Give all that is on a sheet its place, once."""
    if figure.axes and (layout := figure.get_layout_engine()):
        FigureCanvasAgg(figure)
        layout.execute(figure)
    figure.set_layout_engine("none")
    return figure


def twin(gated: object, record: object, instead: object) -> Figure | None:
    """Return the labelled form of a gated figure, drawn of another record instead; None if it is none of ours."""
    draw, args, kwargs = _DRAWN.get(gated, (None, (), {})) if isinstance(gated, Figure) else (None, (), {})
    return draw(*(instead if one is record else one for one in args), **{**kwargs, "labelled": True}) if draw else None


def blank(width: int, height: int) -> Figure:
    """Return an empty white figure of a size in pixels, bound to no GUI and unknown to pyplot."""
    # a little more, because Matplotlib before 3.11 cuts 28.999999999999996 pixels to 28
    return Figure(figsize=((width + 1e-6) / _DPI, (height + 1e-6) / _DPI), dpi=_DPI, facecolor="white")


def pixels_of(figure: Figure) -> Pixels:
    """Draw a figure and return its pixels, shape (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def raster(pixels_HWC: Pixels) -> Figure:
    """Return a figure that is exactly one image, shape (height, width, 3), pixel for pixel."""
    height, width = pixels_HWC.shape[:2]
    figure = blank(width, height)
    figure.figimage(pixels_HWC, origin="upper")
    return figure


def shades(values: Values, low: float, high: float, colours: str | Colormap = "viridis") -> Pixels:
    """Return values as colours of a map, shape (..., 3): `low` and below the first, `high` and above the last.

    NaN is light grey, unless a map that is not given by its name has another colour for it.
    """
    chosen = matplotlib.colormaps[colours].with_extremes(bad=LIGHT) if isinstance(colours, str) else colours
    pixels: Pixels = chosen((values.clip(low, high) - low) / (high - low), bytes=True)
    return pixels[..., :3]


def curve_axes(
    figure: Figure, place: tuple[float, float, float, float], limits: tuple[float, float, float, float]
) -> Axes:
    """Add axes with fixed limits (x from, x to, y from, y to) that hold no glyph."""
    axes = figure.add_axes(place, xlim=limits[:2], ylim=limits[2:])
    axes.tick_params(length=4, labelleft=False, labelbottom=False)
    axes.grid(visible=True, color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    return axes


def row_axes(row: int, rows: int, *, top: int) -> tuple[Figure, Axes]:
    """Return a figure as high as its rows of equal height, 640 pixels wide, and axes for them."""
    bottom = 50
    height = top + row * rows + bottom
    figure = blank(640, height)
    return figure, figure.add_axes((0.03, bottom / height, 0.94, 1 - (top + bottom) / height))
