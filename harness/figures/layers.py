"""A value of each layer at each step: how large its gradient is, how far a step moves its weights."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.figures.canvas import LIGHT, blank, curve_axes, frozen, own_style, raster, shades
from harness.figures.series import layer_norms, shortened, spread, thinned
from harness.record.record import Record


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


_LEAST = -20.0
"""Exponent of ten: what is smaller counts as zero."""


def gradient_flow(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the gradient norm of each layer at each step, as the optimizer got it, on a logarithmic colour scale.

    The first layer is on top. A norm of zero has the lowest colour, a step without a gradient is grey.

    Args:
        record: a finished training.
        labelled: with the layers' names and a colour bar, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure (labelled: 800 wide, as high as its layers need), unknown to pyplot.

    Raises:
        NotRecordedError: the record has no gradients.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    layers = layer_norms(record, "gradient", "gradient_flow")
    exponents = {name: np.log10(np.where(norms == 0, 10.0**_LEAST, norms)) for name, norms in layers.items()}
    limits = _decades(np.stack(list(exponents.values())))
    if not labelled:
        return layer_raster(np.stack(list(exponents.values())), *limits)
    title = f"Gradient flow, {record.name}, {record.device}"
    return layer_sheet(exponents, limits, title, "log10 of the gradient norm")


def _decades(exponents: NDArray[np.float64]) -> tuple[float, float]:
    """Return the whole exponents around those of the norms that are not zero."""
    known = exponents[exponents > _LEAST]
    if not known.size:
        return _LEAST, 0.0
    low = math.floor(known.min())
    return float(low), float(max(math.ceil(known.max()), low + 1))


_UPDATE_RATIO_ROOM = 16
"""Layers that the legend has room for."""

_UPDATE_RATIO_LETTERS = 28
"""Of a name, as many as the legend has room for."""

_USUAL = 1e-3
"""A rule of thumb: trainings that go well update their weights by about a thousandth a step."""


def update_ratio(record: Record, *, labelled: bool = False) -> Figure:
    """Draw update norm over weight norm of each layer against step, on a logarithmic axis; 0.001 is dashed.

    Only matrices and kernels count: biases start at zero, where a ratio means nothing. Layers go from dark (first) to
    light (last); steps without an update have no point.

    Args:
        record: a finished training.
        labelled: with title, axis labels, numbers and the layers' names, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure (labelled: 800x480), unknown to pyplot.

    Raises:
        NotRecordedError: the record has no updates.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    ratios = _ratios(record)
    with own_style():
        figure = blank(800 if labelled else 640, 480)
        place = (0.1, 0.11, 0.62, 0.81) if labelled else (0.1, 0.1, 0.86, 0.86)
        axes = curve_axes(figure, place, (-0.5, record.num_steps - 0.5, *_update_ratio_decades(ratios)), labelled)
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.axhline(_USUAL, color="black", linestyle="--", linewidth=1)
        _draw(axes, ratios)
        if labelled:
            axes.set(xlabel="step", ylabel="update norm / weight norm")
            axes.set_title(f"Update to weight, {record.name}, {record.device}")
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False)
        else:
            axes.tick_params(which="both", labelleft=False, labelbottom=False)
        return figure if labelled else frozen(figure)


def _ratios(record: Record) -> dict[str, NDArray[np.float64]]:
    def is_matrix(tensor: str) -> bool:
        return len(record.structure.get(tensor, {}).get("shape", ())) > 1

    updates = layer_norms(record, "update", "update_ratio", is_matrix)
    weights = layer_norms(record, "weight", "update_ratio", is_matrix)
    return {name: _share(update, weights[name]) for name, update in updates.items()}


def _share(update: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, leaving out what has no logarithm."""
    known = (update > 0) & (weight > 0)
    return np.divide(update, weight, out=np.full_like(update, np.nan), where=known)


def _update_ratio_decades(ratios: dict[str, NDArray[np.float64]]) -> tuple[float, float]:
    known = np.concatenate([*ratios.values(), [_USUAL]])
    known = known[np.isfinite(known)]
    return 10.0 ** math.floor(math.log10(known.min())), 10.0 ** math.ceil(math.log10(known.max()) + 1e-9)


def _draw(axes: Axes, ratios: dict[str, NDArray[np.float64]]) -> None:
    named = thinned(ratios, _UPDATE_RATIO_ROOM)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(ratios)))
    for (name, ratio), colour in zip(ratios.items(), colours, strict=True):
        axes.plot(
            ratio, color=colour, linewidth=1.5, label=shortened(name, _UPDATE_RATIO_LETTERS) if name in named else None
        )
