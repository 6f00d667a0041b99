"""What a model consists of: its tensors, their sizes and their parameter groups."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice, zip_longest

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.errors import NotRecordedError, number
from harness.figures.canvas import COLOURS, Values, in_both_forms, pixels_of, row_axes
from harness.figures.digits import checksums, with_exact_digits
from harness.figures.series import WATCH, thinned, told_apart
from harness.figures.sheets import HEAD, decades_on, rows_beside, sheet
from harness.record.record import Record


_LETTERS = 36  # of a name, as many as the margin has room for
_GROUPS = 8  # that are named, each a colour of its own

_Shapes = Mapping[str, Sequence[int]]


@in_both_forms
def model_structure(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a bar a trained tensor in the model's order: as long as its size, logarithmic, coloured by parameter group.

    Of more than 60 tensors evenly spread ones are shown. Those that no optimizer updates (buffers, averages, frozen
    weights) are counted in the labelled form only. 640 pixels wide (labelled: 800) and as high as its rows; the digits
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
    if labelled:
        return _labelled(record, shapes, shown, colours)
    figure, axes = row_axes(20, len(shown), top=60)
    _bars(axes, record, shapes, shown, colours)
    axes.set_yticks([])
    axes.minorticks_off()
    axes.set_xticks([])
    numbers = [(list(colours).index(groups[name]), *shape) for name, shape in shapes.items()]
    return with_exact_digits(pixels_of(figure), checksums(_columns(numbers)))


def _columns(numbers: Sequence[Sequence[int]]) -> Values:
    """Return numbers as columns, with zeros below those that are shorter."""
    return np.array(list(zip_longest(*numbers, fillvalue=0)), dtype=np.float64)


def _bars(axes: Axes, record: Record, shapes: _Shapes, shown: _Shapes, colours: Mapping[str, str]) -> None:
    largest = max(map(math.prod, shapes.values()))
    # from 0.7, so that a tensor of one element has a bar
    axes.set(xscale="log", xlim=(0.7, 10 ** math.ceil(math.log10(largest) + 0.1)), ylim=(len(shown) - 0.4, -0.6))
    of_rows = [colours[record.structure[name]["group"]] for name in shown]
    axes.barh(range(len(shown)), [math.prod(shape) for shape in shown.values()], color=of_rows, height=0.8)


def _labelled(record: Record, shapes: _Shapes, shown: _Shapes, colours: Mapping[str, str]) -> Figure:
    total, rest = sum(map(math.prod, shapes.values())), len(record.structure) - len(shapes)
    named = dict(islice(colours.items(), _GROUPS))
    height = HEAD + 76 + 17 * len(shown) + 17 * len(named)
    figure = sheet(800, height, f"The model: {total:,} parameters in {number(len(shapes), 'tensor')}", record)
    axes = figure.subplots()
    _bars(axes, record, shapes, shown, colours)
    of = f", {len(shown)} of {len(shapes)} shown" if len(shown) < len(shapes) else ""
    others = f" (not shown: {number(rest, 'tensor')} that no optimizer updates)" if rest else ""
    axes.set_xlabel(f"numbers in the tensor{of}{others}")
    axes.grid(visible=True, axis="x")
    decades_on(axes.xaxis)
    axes.set_yticks(range(len(shown)), told_apart(shown, _LETTERS))
    axes.tick_params(axis="y", length=0)
    sizes = ["x".join(map(str, shape)) or "one number" for shape in shown.values()]
    rows_beside(
        axes,
        [
            f"{size} = {math.prod(shape):,}" if "x" in size else size
            for size, shape in zip(sizes, shown.values(), strict=True)
        ],
    )
    handles = [
        Patch(color=colour, label=f"parameter group of {name}")
        for name, colour in zip(told_apart(named, 60), named.values(), strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower left")
    return figure
