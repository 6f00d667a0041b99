"""A value of each layer at each step: how large its gradient is, how far a step moves its weights."""

import math
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure

from harness.errors import number
from harness.figures.canvas import (
    LIGHT,
    Pixels,
    Values,
    blank,
    curve_axes,
    in_both_forms,
    pixels_of,
    shades,
)
from harness.figures.digits import checksums, with_digits
from harness.figures.series import decades, layer_norms, spread, thinned, told_apart
from harness.figures.sheets import BAR, BELOW, HEAD, colour_bar, decades_on, line_width, sheet, stacked, step_axis
from harness.record.record import Record


Limits = tuple[float, float]

_LEAST = -20.0  # exponent of ten: what is smaller counts as zero
_COLUMNS = 300  # of a sheet: each is wider than a pixel
_USUAL = 1e-3  # a rule of thumb: trainings that go well update their weights by about a thousandth a step


@in_both_forms
def gradient_flow(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the gradient norm of each layer at each step, as the optimizer got it, on a logarithmic colour scale.

    The first layer is on top. A norm of zero has the lowest colour, a step without a gradient is grey; of too many
    steps neighbours share a column, and the largest norm counts. 640x480 pixels, and the digits of each step below;
    labelled, with a colour bar, as high as its layers need.

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
    low, high = (10.0**exponent for exponent in limits)
    shown = thinned({name: values.clip(low, high) for name, values in norms.items()}, 60)
    rows = row_height(len(shown)) * len(shown)
    figure = sheet(720, HEAD + rows + BAR + 2 * BELOW, "Gradient norm of each layer", record)
    axes, bar = stacked(figure, rows, BAR)
    heat_rows(axes, shown, LogNorm(low, high), "viridis")
    axes.set_ylabel(f"{len(shown)} of {len(norms)} layers" if len(shown) < len(norms) else "layer")
    step_axis(axes, record.num_steps)
    none = "; grey: none" * any(np.isnan(values).any() for values in shown.values())
    colour_bar(bar, LogNorm(low, high), "viridis", f"norm of the gradient, as the optimizer got it{none}")
    return figure


def row_height(rows: int) -> int:
    """Return how many pixels a row with a name takes: few may be wide."""
    return 16 if rows > 8 else 26


def _exponents_around(exponents: Values) -> Limits:
    """Return the whole exponents around those of the norms that are not zero."""
    known = exponents[exponents > _LEAST]
    if not known.size:
        return _LEAST, 0.0
    low = math.floor(known.min())
    return float(low), float(max(math.ceil(known.max()), low + 1))


def layer_raster(values_LS: Values, low: float, high: float, colours: str | Colormap = "viridis") -> Pixels:
    """Return 640x480 pixels of cells as large as fit, a row a layer and a column a step; of too many rows spread ones.

    Of too many steps neighbours share a column (`shared_columns`).
    """
    margin, page_HWC = 20, np.full((480, 640, 3), 255, dtype=np.uint8)
    layers = spread(len(values_LS), 480 - 2 * margin)
    values_LC, _ = shared_columns(values_LS[layers], 640 - 2 * margin)
    cell_height, cell_width = min(48, (480 - 2 * margin) // len(layers)), (640 - 2 * margin) // values_LC.shape[1]
    cells = shades(values_LC, low, high, colours)
    cells = cells.repeat(cell_height, axis=0).repeat(cell_width, axis=1)
    page_HWC[margin : margin + cells.shape[0], margin : margin + cells.shape[1]] = cells
    return page_HWC


def shared_columns(values_LS: Values, room: int) -> tuple[Values, int]:
    """Return at most as many columns as there is room for, and how many steps share one: the largest value counts.

    So a stream that has a value at every fiftieth step keeps them all. NaN stands where no step has a value.
    """
    steps = values_LS.shape[1]
    shared = -(-steps // room)
    padded_LS = np.pad(values_LS, ((0, 0), (0, -steps % shared)), constant_values=np.nan)
    largest_LC: Values = np.fmax.reduce(padded_LS.reshape(len(values_LS), -1, shared), axis=2)
    return largest_LC, shared


def heat_rows(axes: Axes, rows: Mapping[str, Values], scale: Normalize, colours: str | Colormap) -> None:
    """Fill axes with a named row of colours a layer, a column a step; of too many steps neighbours share one."""
    values_LC, shared = shared_columns(np.stack(list(rows.values())), _COLUMNS)
    axes.set_facecolor(LIGHT if isinstance(colours, str) else "white")  # where there is no value
    extent = (-0.5, values_LC.shape[1] * shared - 0.5, len(rows) - 0.5, -0.5)
    axes.imshow(values_LC, cmap=colours, norm=scale, aspect="auto", interpolation="nearest", extent=extent)
    axes.set_yticks(range(len(rows)), told_apart(rows, 40))
    axes.tick_params(axis="y", length=0)


@in_both_forms
def update_ratio(record: Record, *, labelled: bool = False) -> Figure:
    """Draw update norm over weight norm of each layer against step, on a logarithmic axis; 0.001 is dashed.

    Only matrices and kernels count: biases start at zero, where a ratio means nothing. Layers go from dark (first) to
    light (last); a line goes over steps without an update. 640x480 pixels, and the digits of each step below; labelled
    with the names of up to 16 layers.

    Raises:
        NotRecordedError: the record has no updates, or more than a million steps.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    ratios = _ratios(record)
    known = np.concatenate([*ratios.values(), [_USUAL]])
    known = known[np.isfinite(known)]
    if labelled:
        return _labelled_ratios(record, ratios, decades(np.concatenate([known / 1.5, known * 1.5])))
    figure = blank(640, 480)
    axes = curve_axes(figure, (0.1, 0.1, 0.86, 0.86), (-0.5, record.num_steps - 0.5, *decades(known)))
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.axhline(_USUAL, color="black", linestyle="--", linewidth=1)
    for ratio, colour in zip(ratios.values(), _dark_to_light(len(ratios)), strict=True):
        axes.plot(*_known(ratio), color=colour, linewidth=1.5)
    axes.tick_params(which="both", labelleft=False, labelbottom=False)
    return with_digits(record, pixels_of(figure), checksums(np.stack(list(ratios.values()))))


def _known(ratio: Values) -> tuple[Values, Values]:
    """Return steps and values of those that there are: a line goes over gaps, where single points would not be seen."""
    steps = np.flatnonzero(np.isfinite(ratio)).astype(np.float64)
    return steps, ratio[np.isfinite(ratio)]


def _dark_to_light(count: int) -> Values:
    colours: Values = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))
    return colours


def _labelled_ratios(record: Record, ratios: Mapping[str, Values], limits: Limits) -> Figure:
    figure = sheet(800, 420, "How far a step moves the weights of each layer", record)
    axes = figure.subplots()
    axes.set(yscale="log", ylim=limits, ylabel="norm of the update / norm of the weights")
    decades_on(axes.yaxis)
    axes.grid(visible=True)
    axes.axhline(_USUAL, color="black", linestyle="--", linewidth=1.2, label="0.001, a rule of thumb")
    named, few, width = thinned(ratios, 16), record.num_steps <= 40, line_width(record.num_steps, 1.5)
    texts = dict(zip(named, told_apart(named, 28), strict=True))
    for (name, ratio), colour in zip(ratios.items(), _dark_to_light(len(ratios)), strict=True):
        label = f" {texts[name]}" if name in texts else None  # one that begins with _ would be left out
        axes.plot(*_known(ratio), color=colour, linewidth=width, marker="o" if few else None, label=label)
    step_axis(axes, record.num_steps)
    if rest := len(layer_norms(record, "update", "update_ratio")) - len(ratios):
        axes.set_xlabel(f"step\n(not shown: {number(rest, 'layer')} without a matrix or kernel)")
    title = f"layers, {len(named)} of {len(ratios)}:" if len(named) < len(ratios) else "layers, in their order:"
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title=title, alignment="left")
    return figure


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
