"""A value of each layer at each step as colours: one row a layer, one column a step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.figures.canvas import LIGHT, blank, own_style, raster, shades
from harness.figures.series import shortened, spread, thinned


__all__ = ["heat_axes", "layer_raster", "layer_sheet"]

_WIDTH, _HEIGHT = 640, 480
_MARGIN = 20
_TALLEST = 48
_ROW = 18
_ROOM = 60
"""Rows of the labelled form."""
_LETTERS = 30
"""Of a name, as many as the margin has room for."""


def layer_raster(
    values_LS: NDArray[np.float64], low: float, high: float, colours: str | Colormap = "viridis"
) -> Figure:
    """Return a 640x480 pixel figure of cells as large as fit, exact to the pixel; of too many, evenly spread ones.

    Args:
        values_LS: shape (layers, steps); NaN is light grey.
        low: value of the map's first colour.
        high: value of its last.
        colours: a colour map or its name.
    """
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    layers, steps = (spread(count, room) for count, room in zip(values_LS.shape, (height, width), strict=True))
    cell_height, cell_width = min(_TALLEST, height // len(layers)), width // len(steps)
    cells = shades(values_LS[np.ix_(layers, steps)], low, high, colours)
    cells = cells.repeat(cell_height, axis=0).repeat(cell_width, axis=1)
    page_HWC = np.full((_HEIGHT, _WIDTH, 3), 255, dtype=np.uint8)
    page_HWC[_MARGIN : _MARGIN + cells.shape[0], _MARGIN : _MARGIN + cells.shape[1]] = cells
    with own_style():
        return raster(page_HWC)


def layer_sheet(layers: Mapping[str, NDArray[np.float64]], limits: tuple[float, float], title: str, key: str) -> Figure:
    """Return the same with the layers' names, for people.

    Args:
        layers: name to one value a step.
        limits: values of the first and the last colour.
        title: of the figure.
        key: what the colours mean.
    """
    shown = thinned(layers, _ROOM)
    with own_style():
        figure = blank(800, 130 + _ROW * max(8, len(shown)))
        height = figure.get_figheight() * 100
        axes = figure.add_axes((0.27, 60 / height, 0.60, 1 - 100 / height))
        heat_axes(axes, np.stack(list(shown.values())), limits, key)
        axes.set_yticks(range(len(shown)), [shortened(name, _LETTERS) for name in shown], fontsize=8)
        axes.set(title=title, xlabel="step", ylabel="layer")
        return figure


def heat_axes(
    axes: Axes,
    values_LS: NDArray[np.float64],
    limits: tuple[float, float],
    key: str,
    colours: str | Colormap = "viridis",
) -> None:
    """Fill axes with a heatmap and put a colour bar to their right.

    Args:
        axes: empty.
        values_LS: shape (rows, steps); NaN is light grey.
        limits: values of the first and the last colour.
        key: what the colours mean.
        colours: a colour map or its name.
    """
    axes.set_facecolor(LIGHT if isinstance(colours, str) else "white")
    options: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "vmin": limits[0], "vmax": limits[1]}
    image = axes.imshow(values_LS.clip(*limits), cmap=colours, **options)  # infinity would not be drawn
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.04, 0, 0.03, 1)))
    bar.set_label(key, fontsize=9)
