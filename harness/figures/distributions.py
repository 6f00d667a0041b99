"""How the elements of each tensor are distributed at the first step and at the last: one row a tensor."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.errors import NotRecordedError, number
from harness.figures.canvas import BLUE, GREY, LIGHT, Values, in_both_forms, pixels_of, row_axes
from harness.figures.digits import checksums, with_digits
from harness.figures.series import WATCH, thinned, told_apart
from harness.figures.sheets import HEAD, rows_beside, sheet
from harness.record.pictures import HISTOGRAM_BINS, Histogram
from harness.record.record import Record


@in_both_forms
def weight_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a row a tensor: how its elements are distributed initially (grey) and at the end (blue line).

    Each row goes from the smallest to the largest element of its tensor, with zero dotted, and each distribution is
    scaled to its highest bin. Tensors of fewer than 32 elements have none; of more than 24 tensors evenly spread ones
    are shown. 640 pixels wide (labelled, with the ends of the rows: 720) and as high as its rows; the digits of each
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
        remedy = f"{WATCH}; a tensor of fewer than {HISTOGRAM_BINS} elements has none, nor has one divided over ranks"
        figure_name = f"{kind}_distributions"
        raise NotRecordedError.missing(f"{kind} histograms", name=record.name, figure=figure_name, remedy=remedy)
    shown = thinned(kept, 24)
    if labelled:
        line = f", {len(shown)} of {len(kept)} tensors" if len(shown) < len(kept) else ""
        figure = sheet(720, HEAD + 104 + 34 * len(shown), f"{title} of each tensor{line}", record)
        _label(_rows(figure.subplots(), shown), shown, kind, _small(record, kept))
        return figure
    figure, axes = row_axes(34, len(shown), top=50)
    axes.set(xticks=[], yticks=[])
    _rows(axes, shown)
    sums = [checksums(_numbers(histogram)) for histogram in kept.values()]
    return with_digits(record, pixels_of(figure), np.concatenate(sums))


def _numbers(histogram: Histogram) -> Values:
    """Return a column a step: the ends of the bins, and how many elements are in each."""
    return np.concatenate([np.array(histogram.limits).T, np.array(histogram.counts, dtype=np.float64).T])


def _rows(axes: Axes, shown: Mapping[str, Histogram]) -> Axes:
    """Draw a row a tensor, and return the axes."""
    axes.set(xlim=(-0.01, 1.01), ylim=(len(shown), -0.1))
    for row, histogram in enumerate(shown.values()):
        _draw(axes, row, histogram)
    return axes


def _ends(histogram: Histogram) -> tuple[float, float]:
    """Return the smallest and the largest element of a tensor, to the bin."""
    outlines = [_outline(limits, counts) for limits, counts in zip(histogram.limits, histogram.counts, strict=True)]
    return min(float(edges[0]) for edges, _ in outlines), max(float(edges[-1]) for edges, _ in outlines)


def _draw(axes: Axes, row: int, histogram: Histogram) -> None:
    outlines = [_outline(limits, counts) for limits, counts in zip(histogram.limits, histogram.counts, strict=True)]
    low, high = _ends(histogram)
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


def _outline(limits: tuple[float, float], counts: tuple[int, ...]) -> tuple[Values, Values]:
    """Return edges and heights (0 to 1) of the bins from the first to the last with elements."""
    filled = np.flatnonzero(counts)
    edges = np.linspace(*limits, HISTOGRAM_BINS + 1)[filled[0] : filled[-1] + 2]
    heights = np.array(counts[filled[0] : filled[-1] + 1], dtype=np.float64)
    return edges, heights / heights.max()


def _small(record: Record, kept: Mapping[str, Histogram]) -> int:
    """Return how many trained tensors have too few elements to be drawn."""
    trained = {name: entry["shape"] for name, entry in record.structure.items() if entry.get("group") is not None}
    return sum(math.prod(shape) < HISTOGRAM_BINS and name not in kept for name, shape in trained.items())


def _label(axes: Axes, shown: Mapping[str, Histogram], kind: str, small: int) -> None:
    axes.set_xticks([])
    axes.set_yticks(np.arange(len(shown)) + 0.6, told_apart(shown, 30))
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    ends = [f"{low:.3g} to {high:.3g}" for low, high in map(_ends, shown.values())]
    rows_beside(axes, ends, 0.6)
    axes.set_xlabel(
        f"{kind}, from the smallest to the largest of its tensor; dotted: zero\n"
        "height: share of the tensor's elements, relative to the fullest of 32 bins"
        + f"\n(not shown: {number(small, 'tensor')} of fewer than {HISTOGRAM_BINS} elements)"
        * bool(small)
    )
    first, last = ("before the first step", "after the last step") if kind == "weight" else ("first step", "last step")
    handles = [Patch(color=LIGHT, label=first), Line2D([], [], color=BLUE, label=last)]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
