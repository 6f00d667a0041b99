"""What a model consists of: its tensors, their sizes and their parameter groups."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.errors import NotRecordedError
from harness.figures.canvas import COLOURS, Values, in_both_forms, pixels_of, row_axes
from harness.figures.digits import checksums, with_exact_digits
from harness.figures.series import WATCH, shortened, thinned
from harness.record.record import Record


_LETTERS = 36  # of a name, as many as the margin has room for

_Shapes = Mapping[str, Sequence[int]]


@in_both_forms
def model_structure(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a bar a trained tensor in the model's order: as long as its size, logarithmic, coloured by parameter group.

    Of more than 60 tensors evenly spread ones are shown. Those that no optimizer updates (buffers, averages, frozen
    weights) are counted in the labelled form only. 640 pixels wide (labelled: 900) and as high as its rows; the digits
    of each tensor's shape and group stand below.

    Raises:
        NotRecordedError: the record has no trained tensors.
    """
    groups = {name: entry["group"] for name, entry in record.structure.items() if entry.get("group") is not None}
    if not groups:
        raise NotRecordedError.missing("trained tensors", name=record.name, figure="model_structure", remedy=WATCH)
    shapes = {name: record.structure[name]["shape"] for name in groups}
    shown = thinned(shapes, 60)
    colours = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(dict.fromkeys(groups.values()))}
    left, width = (0.27, 0.52) if labelled else (0.03, 0.94)
    figure, axes = row_axes(900 if labelled else 640, 20, len(shown), top=60, left=left, width=width)
    largest = max(map(math.prod, shapes.values()))
    # from 0.7, so that a tensor of one element has a bar
    axes.set(xscale="log", xlim=(0.7, 10 ** math.ceil(math.log10(largest) + 0.1)))
    axes.set(ylim=(len(shown) - 0.4, -0.6), yticks=[])
    sizes = [math.prod(shape) for shape in shown.values()]
    axes.barh(range(len(shown)), sizes, color=[colours[groups[name]] for name in shown], height=0.8)
    if labelled:
        _label(axes, record, shapes, shown)
        named = list(colours.items())[:3]  # the legend has room for them
        handles = [Patch(color=colour, label=shortened(f"group of {group}", _LETTERS)) for group, colour in named]
        axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.4, 1.0), fontsize=8, frameon=False)
        return figure
    axes.minorticks_off()
    axes.set_xticks([])
    numbers = [(list(colours).index(groups[name]), *shape) for name, shape in shapes.items()]
    return with_exact_digits(pixels_of(figure), checksums(_columns(numbers)))


def _columns(numbers: Sequence[Sequence[int]]) -> Values:
    """Return numbers as columns, with zeros below those that are shorter."""
    return np.array(list(zip_longest(*numbers, fillvalue=0)), dtype=np.float64)


def _label(axes: Axes, record: Record, shapes: _Shapes, shown: _Shapes) -> None:
    total, rest = sum(map(math.prod, shapes.values())), len(record.structure) - len(shapes)
    others = f"; {rest} tensors that no optimizer updates" if rest else ""
    title = f"{record.name}: {total:,} parameters in {len(shapes)} tensors{others}"
    axes.set_title(title, loc="left", x=-0.5, fontsize=11)
    axes.set_xlabel("elements")
    axes.set_yticks(range(len(shown)), [shortened(name, _LETTERS) for name in shown], fontsize=8)
    options: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
    for row, shape in enumerate(shown.values()):
        axes.text(1.02, row, "x".join(map(str, shape)) or "a number", **options)
        axes.text(1.38, row, f"{math.prod(shape):,}", ha="right", **options)
