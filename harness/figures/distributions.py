"""How the elements of each tensor are distributed at the first step and at the last: one row a tensor."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from harness.errors import NotRecordedError
from harness.figures.canvas import BLUE, GREY, LIGHT, blank, frozen, own_style
from harness.figures.series import WATCH, shortened, thinned
from harness.record.pictures import HISTOGRAM_BINS, Histogram
from harness.record.record import Record


_ROW = 34

_TOP, _BOTTOM = 50, 50

_ROOM = 24
"""Tensors that are shown; of more, evenly spread ones."""

_REMEDY = f"{WATCH}; a tensor of fewer than {HISTOGRAM_BINS} elements has none"

_LETTERS = 28
"""Of a name, as many as the margin has room for."""

_Outline = tuple[NDArray[np.float64], NDArray[np.float64]]


def distributions(record: Record, kind: str, figure: str, title: str, labelled: bool) -> Figure:
    """Draw a row a tensor: the distribution at the first step filled grey, at the last as a blue line.

    Each row goes from the smallest to the largest element of its tensor at either step, zero is a vertical line, and
    each distribution is scaled to its highest bin.

    Args:
        record: a finished training.
        kind: "weight" or "gradient".
        figure: the figure that wants it, for the message.
        title: of the labelled form.
        labelled: whether there are words.

    Raises:
        NotRecordedError: the record holds no such histograms.
    """
    kept = {name.removeprefix(f"{kind}/"): h for name, h in record.histograms.items() if name.startswith(f"{kind}/")}
    if not kept:
        raise NotRecordedError.missing(f"{kind} histograms", name=record.name, figure=figure, remedy=_REMEDY)
    shown = thinned(kept, _ROOM)
    with own_style():
        height = _TOP + _BOTTOM + _ROW * len(shown)
        page = blank(800 if labelled else 640, height)
        left, width = (0.32, 0.58) if labelled else (0.03, 0.94)
        place = (left, _BOTTOM / height, width, 1 - (_TOP + _BOTTOM) / height)
        axes = page.add_axes(place, xlim=(-0.01, 1.01), ylim=(len(shown), -0.1), xticks=[], yticks=[])
        limits = [_draw(axes, row, histogram) for row, histogram in enumerate(shown.values())]
        if labelled:
            _label(axes, list(shown), limits, title, kind)
        return page if labelled else frozen(page)


def _draw(axes: Axes, row: int, histogram: Histogram) -> tuple[float, float]:
    """Draw one row; return its limits: the smallest and the largest element, to the bin."""
    outlines = [_outline(limits, counts) for limits, counts in zip(histogram.limits, histogram.counts, strict=True)]
    low = min(float(edges[0]) for edges, _ in outlines)
    high = max(float(edges[-1]) for edges, _ in outlines)
    if low == high:  # all elements alike, at both steps
        low, high = low - 0.5, high + 0.5
    if low < 0 < high:
        axes.vlines(-low / (high - low), row, row + 0.95, color="black", linewidth=1, linestyle=":")
    bottom = row + 0.95
    for index, (edges, heights) in enumerate(outlines):
        places = (edges - low) / (high - low)
        first = index == 0 and len(outlines) > 1
        if len(heights) == 1 and edges[0] == edges[1]:
            axes.vlines(places[0], row + 0.05, bottom, color=GREY if first else BLUE, linewidth=3 if first else 1.5)
        else:
            colour, width = (LIGHT, 0.0) if first else (BLUE, 1.5)
            axes.stairs(bottom - 0.9 * heights, places, baseline=bottom, fill=first, color=colour, linewidth=width)
    return low, high


def _outline(limits: tuple[float, float], counts: tuple[int, ...]) -> _Outline:
    """Return edges and heights (0 to 1) of the bins from the first to the last with elements."""
    filled = np.flatnonzero(counts)
    edges = np.linspace(*limits, HISTOGRAM_BINS + 1)[filled[0] : filled[-1] + 2]
    heights = np.array(counts[filled[0] : filled[-1] + 1], dtype=np.float64)
    return edges, heights / heights.max()


def _label(axes: Axes, names: list[str], limits: list[tuple[float, float]], title: str, kind: str) -> None:
    for row, (name, (low, high)) in enumerate(zip(names, limits, strict=True)):
        axes.text(-0.13, row + 0.6, shortened(name, _LETTERS), va="center", ha="right", fontsize=8)
        axes.text(-0.02, row + 0.6, f"{low:.3g}", va="center", ha="right", fontsize=8)
        axes.text(1.02, row + 0.6, f"{high:.3g}", va="center", fontsize=8)
    axes.set_xlabel(f"{kind}, from the smallest to the largest of the tensor (dotted: zero)", fontsize=9)
    axes.set_title(title, loc="left")
    first, last = ("initial", "final") if kind == "weight" else ("first step", "last step")
    handles = [Patch(color=LIGHT, label=first), Line2D([], [], color=BLUE, label=last)]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False)


def weight_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a row a tensor: how its elements are distributed initially (grey) and at the end (blue line).

    Each row goes from the smallest to the largest element of its tensor, with zero dotted, and each distribution is
    scaled to its highest bin. Tensors of fewer than 32 elements have none.

    Args:
        record: a finished training.
        labelled: with the tensors' names and the ends of their rows, for people; without, for pytest-mpl.

    Returns:
        A figure 640 pixels wide (labelled: 800) and as high as its rows, unknown to pyplot.

    Raises:
        NotRecordedError: the record holds no histograms.
    """
    title = f"Weights, {record.name}, {record.device}"
    return distributions(record, "weight", "weight_distributions", title, labelled)


def gradient_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a row a tensor: how its gradient is distributed at the first step (grey) and at the last (blue line).

    Each row goes from the smallest to the largest element of its tensor, with zero dotted, and each distribution is
    scaled to its highest bin. Tensors of fewer than 32 elements have none.

    Args:
        record: a finished training.
        labelled: with the tensors' names and the ends of their rows, for people; without, for pytest-mpl.

    Returns:
        A figure 640 pixels wide (labelled: 800) and as high as its rows, unknown to pyplot.

    Raises:
        NotRecordedError: the record holds no histograms.
    """
    title = f"Gradients, {record.name}, {record.device}"
    return distributions(record, "gradient", "gradient_distributions", title, labelled)
