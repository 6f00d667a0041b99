"""What a model consists of: its tensors, their sizes and their parameter groups."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.errors import NotRecordedError
from harness.figures.canvas import COLOURS, blank, frozen, own_style
from harness.figures.series import WATCH, shortened, thinned
from harness.record.record import Record


_ROW = 20

_TOP, _BOTTOM = 60, 50

_ROOM = 60
"""Rows; of more tensors, evenly spread ones are shown."""

_LETTERS = 36
"""Of a name, as many as the margin has room for."""

_LEGEND = 3
"""Groups that the legend has room for."""

_LEAST = 0.7
"""Start of the axis, so that a tensor of one element has a bar."""

_Shapes = Mapping[str, Sequence[int]]


def model_structure(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a bar a trained tensor in the model's order: as long as its size, logarithmic, coloured by parameter group.

    Tensors that no optimizer updates (buffers, averages, frozen weights) are counted in the labelled form only.

    Args:
        record: of any training.
        labelled: with the tensors' names and shapes, groups and numbers, for people; without, for pytest-mpl.

    Returns:
        A figure 640 pixels wide (labelled: 900) and as high as its rows, unknown to pyplot.

    Raises:
        NotRecordedError: the record has no trained tensors.
    """
    groups = {name: entry["group"] for name, entry in record.structure.items() if entry.get("group") is not None}
    if not groups:
        raise NotRecordedError.missing("trained tensors", name=record.name, figure="model_structure", remedy=WATCH)
    shapes = {name: record.structure[name]["shape"] for name in groups}
    shown = thinned(shapes, _ROOM)
    colours = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(dict.fromkeys(groups.values()))}
    largest = max(map(math.prod, shapes.values()))
    with own_style():
        height = _TOP + _BOTTOM + _ROW * len(shown)
        figure = blank(900 if labelled else 640, height)
        left, width = (0.27, 0.52) if labelled else (0.03, 0.94)
        place = (left, _BOTTOM / height, width, 1 - (_TOP + _BOTTOM) / height)
        axes = figure.add_axes(place, xlim=(_LEAST, 10 ** math.ceil(math.log10(largest) + 0.1)), xscale="log")
        axes.set(ylim=(len(shown) - 0.4, -0.6), yticks=[])
        sizes = [math.prod(shape) for shape in shown.values()]
        axes.barh(range(len(shown)), sizes, color=[colours[groups[name]] for name in shown], height=0.8)
        if not labelled:
            axes.minorticks_off()
            axes.set_xticks([])
            return frozen(figure)
        _label(axes, record, shapes, shown)
        _add_legend(axes, colours)
        return figure


def _add_legend(axes: Axes, colours: Mapping[str, str]) -> None:
    named = list(colours.items())[:_LEGEND]
    handles = [Patch(color=colour, label=shortened(f"group of {group}", _LETTERS)) for group, colour in named]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.4, 1.0), fontsize=8, frameon=False)


def _label(axes: Axes, record: Record, shapes: _Shapes, shown: _Shapes) -> None:
    total, rest = sum(map(math.prod, shapes.values())), len(record.structure) - len(shapes)
    others = f"; {rest} tensors that no optimizer updates" if rest else ""
    title = f"{record.name}: {total:,} parameters in {len(shapes)} tensors{others}"
    axes.set_title(title, loc="left", x=-0.5, fontsize=11)
    axes.set_xlabel("elements")
    axes.set_yticks(range(len(shown)), [shortened(name, _LETTERS) for name in shown], fontsize=8)
    for row, shape in enumerate(shown.values()):
        options: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
        axes.text(1.02, row, "x".join(map(str, shape)) or "a number", **options)
        axes.text(1.38, row, f"{math.prod(shape):,}", ha="right", **options)
