"""How the elements of each tensor are distributed at the first step and at the last: one row a tensor."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.errors import NotRecordedError
from harness.figures.canvas import BLUE, GREY, LIGHT, Values, in_both_forms, pixels_of, row_axes
from harness.figures.digits import checksums, with_digits
from harness.figures.series import WATCH, shortened, thinned
from harness.record.pictures import HISTOGRAM_BINS, Histogram
from harness.record.record import Record


@in_both_forms
def weight_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a row a tensor: how its elements are distributed initially (grey) and at the end (blue line).

    Each row goes from the smallest to the largest element of its tensor, with zero dotted, and each distribution is
    scaled to its highest bin. Tensors of fewer than 32 elements have none; of more than 24 tensors evenly spread ones
    are shown. 640 pixels wide (labelled, with the ends of the rows: 800) and as high as its rows; the digits of each
    distribution stand below.

    Raises:
        NotRecordedError: the record holds no histograms.
    """
    return _distributions(record, "weight", "Weights", labelled)


@in_both_forms
def gradient_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw as `weight_distributions` how gradients are distributed at the first step and at the last.

    Raises:
        NotRecordedError: the record holds no histograms.
    """
    return _distributions(record, "gradient", "Gradients", labelled)


def _distributions(record: Record, kind: str, title: str, labelled: bool) -> Figure:
    kept = {name.removeprefix(f"{kind}/"): h for name, h in record.histograms.items() if name.startswith(f"{kind}/")}
    if not kept:
        remedy = f"{WATCH}; a tensor of fewer than {HISTOGRAM_BINS} elements has none"
        figure_name = f"{kind}_distributions"
        raise NotRecordedError.missing(f"{kind} histograms", name=record.name, figure=figure_name, remedy=remedy)
    shown = thinned(kept, 24)
    left, width = (0.32, 0.58) if labelled else (0.03, 0.94)
    figure, axes = row_axes(800 if labelled else 640, 34, len(shown), top=50, left=left, width=width)
    axes.set(xlim=(-0.01, 1.01), ylim=(len(shown), -0.1), xticks=[], yticks=[])
    limits = [_draw(axes, row, histogram) for row, histogram in enumerate(shown.values())]
    if labelled:
        _label(axes, dict(zip(shown, limits, strict=True)), kind)
        axes.set_title(f"{title}, {record.name}, {record.device}", loc="left")
        return figure
    sums = [checksums(_numbers(histogram)) for histogram in kept.values()]
    return with_digits(record, pixels_of(figure), np.concatenate(sums))


def _numbers(histogram: Histogram) -> Values:
    """Return a column a step: the ends of the bins, and how many elements are in each."""
    return np.concatenate([np.array(histogram.limits).T, np.array(histogram.counts, dtype=np.float64).T])


def _draw(axes: Axes, row: int, histogram: Histogram) -> tuple[float, float]:
    """Draw one row; return its limits: the smallest and the largest element, to the bin."""
    outlines = [_outline(limits, counts) for limits, counts in zip(histogram.limits, histogram.counts, strict=True)]
    low = min(float(edges[0]) for edges, _ in outlines)
    high = max(float(edges[-1]) for edges, _ in outlines)
    if low == high:  # all elements alike, at both steps
        low, high = low - 0.5, high + 0.5
    bottom = row + 0.95
    if low < 0 < high:
        axes.vlines(-low / (high - low), row, bottom, color="black", linewidth=1, linestyle=":")
    for index, (edges, heights) in enumerate(outlines):
        places = (edges - low) / (high - low)
        first = index == 0 and len(outlines) > 1
        if len(heights) == 1 and edges[0] == edges[1]:
            axes.vlines(places[0], row + 0.05, bottom, color=GREY if first else BLUE, linewidth=3 if first else 1.5)
        else:
            colour, width = (LIGHT, 0.0) if first else (BLUE, 1.5)
            axes.stairs(bottom - 0.9 * heights, places, baseline=bottom, fill=first, color=colour, linewidth=width)
    return low, high


def _outline(limits: tuple[float, float], counts: tuple[int, ...]) -> tuple[Values, Values]:
    """Return edges and heights (0 to 1) of the bins from the first to the last with elements."""
    filled = np.flatnonzero(counts)
    edges = np.linspace(*limits, HISTOGRAM_BINS + 1)[filled[0] : filled[-1] + 2]
    heights = np.array(counts[filled[0] : filled[-1] + 1], dtype=np.float64)
    return edges, heights / heights.max()


def _label(axes: Axes, limits: dict[str, tuple[float, float]], kind: str) -> None:
    for row, (name, (low, high)) in enumerate(limits.items()):
        axes.text(-0.13, row + 0.6, shortened(name, 28), va="center", ha="right", fontsize=8)
        axes.text(-0.02, row + 0.6, f"{low:.3g}", va="center", ha="right", fontsize=8)
        axes.text(1.02, row + 0.6, f"{high:.3g}", va="center", fontsize=8)
    axes.set_xlabel(f"{kind}, from the smallest to the largest of the tensor (dotted: zero)", fontsize=9)
    first, last = ("initial", "final") if kind == "weight" else ("first step", "last step")
    handles = [Patch(color=LIGHT, label=first), Line2D([], [], color=BLUE, label=last)]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False)
