"""How far a step moves each layer's weights, as a share of their size."""

import math

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.figures.canvas import blank, curve_axes, frozen, own_style
from harness.figures.series import layer_norms, shortened, thinned
from harness.record import Record


__all__ = ["update_ratio"]

_ROOM = 16
"""Layers that the legend has room for."""
_LETTERS = 28
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
        NoStreamError: the record has no updates.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    ratios = _ratios(record)
    with own_style():
        figure = blank(800 if labelled else 640, 480)
        place = (0.1, 0.11, 0.62, 0.81) if labelled else (0.1, 0.1, 0.86, 0.86)
        axes = curve_axes(figure, place, (-0.5, record.num_steps - 0.5, *_decades(ratios)), labelled)
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


def _decades(ratios: dict[str, NDArray[np.float64]]) -> tuple[float, float]:
    known = np.concatenate([*ratios.values(), [_USUAL]])
    known = known[np.isfinite(known)]
    return 10.0 ** math.floor(math.log10(known.min())), 10.0 ** math.ceil(math.log10(known.max()) + 1e-9)


def _draw(axes: Axes, ratios: dict[str, NDArray[np.float64]]) -> None:
    named = thinned(ratios, _ROOM)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(ratios)))
    for (name, ratio), colour in zip(ratios.items(), colours, strict=True):
        axes.plot(ratio, color=colour, linewidth=1.5, label=shortened(name, _LETTERS) if name in named else None)
