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

from harness.figures.canvas import (
    LIGHT,
    Pixels,
    Values,
    blank,
    curve_axes,
    in_both_forms,
    legend_beside,
    pixels_of,
    shades,
)
from harness.figures.digits import checksums, with_digits
from harness.figures.series import decades, layer_norms, shortened, spread, thinned
from harness.record.record import Record


Limits = tuple[float, float]

_LEAST = -20.0  # exponent of ten: what is smaller counts as zero
_USUAL = 1e-3  # a rule of thumb: trainings that go well update their weights by about a thousandth a step


@in_both_forms
def gradient_flow(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the gradient norm of each layer at each step, as the optimizer got it, on a logarithmic colour scale.

    The first layer is on top. A norm of zero has the lowest colour, a step without a gradient is grey. 640x480 pixels,
    and the digits of each step below; labelled, with a colour bar, 800 wide and as high as its layers need.

    Raises:
        NotRecordedError: the record has no gradients, or more than a million steps.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    norms = layer_norms(record, "gradient", "gradient_flow")
    exponents = {name: np.log10(np.where(values == 0, 10.0**_LEAST, values)) for name, values in norms.items()}
    limits = _exponents_around(np.stack(list(exponents.values())))
    if not labelled:
        page_HWC = layer_raster(np.stack(list(exponents.values())), *limits)
        return with_digits(record, page_HWC, checksums(np.stack(list(norms.values()))))
    shown = thinned(exponents, 60)
    height = 130 + 18 * max(8, len(shown))
    figure = blank(800, height)
    axes = figure.add_axes((0.27, 60 / height, 0.60, 1 - 100 / height))
    heat_axes(axes, shown, limits, "log10 of the gradient norm", 30)
    axes.set(title=f"Gradient flow, {record.name}, {record.device}", xlabel="step", ylabel="layer")
    return figure


def _exponents_around(exponents: Values) -> Limits:
    """Return the whole exponents around those of the norms that are not zero."""
    known = exponents[exponents > _LEAST]
    if not known.size:
        return _LEAST, 0.0
    low = math.floor(known.min())
    return float(low), float(max(math.ceil(known.max()), low + 1))


def layer_raster(values_LS: Values, low: float, high: float, colours: str | Colormap = "viridis") -> Pixels:
    """Return 640x480 pixels of cells as large as fit, a row a layer and a column a step; of too many, spread ones."""
    margin, page_HWC = 20, np.full((480, 640, 3), 255, dtype=np.uint8)
    layers, steps = (spread(count, side - 2 * margin) for count, side in zip(values_LS.shape, (480, 640), strict=True))
    cell_height, cell_width = min(48, (480 - 2 * margin) // len(layers)), (640 - 2 * margin) // len(steps)
    cells = shades(values_LS[np.ix_(layers, steps)], low, high, colours)
    cells = cells.repeat(cell_height, axis=0).repeat(cell_width, axis=1)
    page_HWC[margin : margin + cells.shape[0], margin : margin + cells.shape[1]] = cells
    return page_HWC


def heat_axes(
    axes: Axes, rows: Mapping[str, Values], limits: Limits, key: str, letters: int, colours: str | Colormap = "viridis"
) -> None:
    """Fill axes with a named row of colours a layer, and put what they mean, the key, on a colour bar to their right.

    NaN is light grey, or white on a colour map that is not given by its name.
    """
    axes.set_facecolor(LIGHT if isinstance(colours, str) else "white")
    options: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "vmin": limits[0], "vmax": limits[1]}
    values_LS = np.stack(list(rows.values())).clip(*limits)  # infinity would not be drawn
    image = axes.imshow(values_LS, cmap=colours, **options)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks(range(len(rows)), [shortened(name, letters) for name in rows], fontsize=8)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.04, 0, 0.03, 1)))
    bar.set_label(key, fontsize=9)


@in_both_forms
def update_ratio(record: Record, *, labelled: bool = False) -> Figure:
    """Draw update norm over weight norm of each layer against step, on a logarithmic axis; 0.001 is dashed.

    Only matrices and kernels count: biases start at zero, where a ratio means nothing. Layers go from dark (first) to
    light (last); steps without an update have no point. 640x480 pixels, and the digits of each step below; labelled
    800x480, with the names of up to 16 layers.

    Raises:
        NotRecordedError: the record has no updates, or more than a million steps.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    ratios = _ratios(record)
    known = np.concatenate([*ratios.values(), [_USUAL]])
    figure = blank(800 if labelled else 640, 480)
    place = (0.1, 0.11, 0.62, 0.81) if labelled else (0.1, 0.1, 0.86, 0.86)
    axes = curve_axes(figure, place, (-0.5, record.num_steps - 0.5, *decades(known[np.isfinite(known)])), labelled)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.axhline(_USUAL, color="black", linestyle="--", linewidth=1)
    named = thinned(ratios, 16)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(ratios)))
    for (name, ratio), colour in zip(ratios.items(), colours, strict=True):
        axes.plot(ratio, color=colour, linewidth=1.5, label=shortened(name, 28) if name in named else None)
    if labelled:
        axes.set(xlabel="step", ylabel="update norm / weight norm")
        axes.set_title(f"Update to weight, {record.name}, {record.device}")
        legend_beside(axes)
        return figure
    axes.tick_params(which="both", labelleft=False, labelbottom=False)
    return with_digits(record, pixels_of(figure), checksums(np.stack(list(ratios.values()))))


def _ratios(record: Record) -> dict[str, Values]:
    """Return update over weight of each layer, NaN where there is none or it has no logarithm."""

    def is_matrix(tensor: str) -> bool:
        return len(record.structure.get(tensor, {}).get("shape", ())) > 1

    updates = layer_norms(record, "update", "update_ratio", is_matrix)
    weights = layer_norms(record, "weight", "update_ratio", is_matrix)
    ratios = {}
    for name, update in updates.items():
        known = (update > 0) & (weights[name] > 0)
        ratios[name] = np.divide(update, weights[name], out=np.full_like(update, np.nan), where=known)
    return ratios
