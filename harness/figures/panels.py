"""Curves for people: a panel a series, each on an axis that fits it, and below them the digits with their key."""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from harness.figures.canvas import BLUE, ORANGE, Pixels
from harness.figures.digits import DIGITS, digit_cells, unit
from harness.figures.series import spread, thinned, told_apart
from harness.figures.sheets import (
    BAR,
    BELOW,
    HEAD,
    LETTER,
    colour_bar,
    line_width,
    place,
    sheet,
    stacked,
    step_axis,
    value_axis,
)
from harness.record.record import Record


Points = tuple[Sequence[int], Sequence[float]]

_WIDTH = 640
MOST = 8
"""Series that are drawn."""
_COLUMNS = 560  # of digits
_FEW = 40  # points of a curve: each is marked
_HEIGHTS = {1: 220, 2: 140}  # of a panel in pixels, by their number
_LOW = 96  # of one of more


def panels(
    record: Record,
    title: str,
    quantity: str,
    series: Mapping[str, Points],
    *,
    digits: bool,
    scale: str = "linear",
    evaluated: Points | None = None,
) -> Figure:
    """Draw up to eight series against the step, a panel each, and their digits below.

    Args:
        record: whose they are.
        title: of the sheet.
        quantity: what all are, for their axes.
        series: by name; a single one needs none.
        digits: whether they mean anything on another machine.
        scale: of the axes, "log" where it may be logarithmic.
        evaluated: points to put beside the first of them.
    """
    shown = dict(islice(series.items(), MOST))
    heights = [_HEIGHTS.get(len(shown), _LOW)] * len(shown)
    if digits:
        heights += [DIGITS * (15 if len(shown) == 1 else 5 * len(shown)), BAR]
    figure = sheet(_WIDTH, HEAD + sum(heights) + (1 + digits) * BELOW + 16 * len(shown), title, record)
    axes = stacked(figure, *heights)
    bars = axes[len(shown) :]
    titles = told_apart(shown, _WIDTH // LETTER - 10)
    for panel, name, points in zip(axes, titles, shown.values(), strict=False):
        label = f"{quantity} in training"
        marker, width = "o" if len(points[0]) <= _FEW else None, line_width(len(points[0]), 1.8)
        panel.plot(*points, color=BLUE, marker=marker, linewidth=width, label=label)
        panel.set(title="" if len(shown) == 1 else name, ylabel=quantity)
        value_axis(panel, points[1], scale)
    if evaluated:
        _add_evaluated(axes[0], evaluated, quantity)
    if bars:
        _add_digits(bars, shown, record.num_steps)
    stepped = axes[:-1] if bars else axes
    for each in stepped:
        step_axis(each, record.num_steps)
        each.set_xlabel("step" if each is stepped[-1] else "")
        each.tick_params(labelbottom=each is stepped[-1])
    if left_out := list(series)[MOST:]:
        stepped[-1].set_xlabel(f"step\n({_left_out(left_out)})")
    return figure


def _left_out(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"not drawn: {', '.join(told_apart(names[:2], 24))}{more}"


def _add_evaluated(axes: Axes, points: Points, quantity: str) -> None:
    steps = [max(step, -0.5) for step in points[0]]  # one from before step 0 stands on the axis
    axes.plot(
        steps, points[1], color=ORANGE, linestyle="none", marker="D", markersize=6, label=f"{quantity} in evaluation"
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def _add_digits(places: Sequence[Axes], series: Mapping[str, Points], steps: int) -> None:
    """Draw a raster of digits a series; rows are decimal places, or of several series their names stand beside."""
    axes, bar = places
    rasters = [_digits(points, steps) for points in series.values()]
    axes.imshow(
        np.concatenate(rasters),
        extent=(-0.5, max(1, steps) - 0.5, DIGITS * len(series), 0),
        aspect="auto",
        interpolation="nearest",
    )
    if len(series) == 1:
        (points,) = series.values()
        largest = float(unit(np.array(points[1]))[0])
        axes.set_yticks(np.arange(DIGITS) + 0.5, [place(largest / 10 ** (row + 1)) for row in range(DIGITS)])
        axes.set_ylabel("decimal place")
    else:
        axes.set_yticks((np.arange(len(series)) + 0.5) * DIGITS, told_apart(series, 24))
        axes.hlines(np.arange(1, len(series)) * DIGITS, *axes.get_xlim(), color="white", linewidth=2)
    axes.tick_params(axis="y", length=0)
    key = "colour: the digit at this place and what follows it" + "; from the highest place down" * (len(series) > 1)
    colour_bar(bar, Normalize(0, 10), "twilight", key)


def _digits(points: Points, steps: int) -> Pixels:
    """Return a column of cells a step, white where it has no value; of too many steps, spread ones."""
    values = dict(zip(*points, strict=True))
    columns = np.array([abs(values.get(step, np.nan)) for step in spread(steps, _COLUMNS)])
    cells_HWC = digit_cells(columns / unit(np.array(points[1])), DIGITS, 1, len(columns))
    cells_HWC[:, np.isnan(columns)] = 255
    return cells_HWC


def accuracies(record: Record, curves: Mapping[str, Points], classes: Mapping[str, Points]) -> Figure:
    """Draw shares of right test images against the step, and below them, if known, those of up to 40 classes."""
    shown = thinned(classes, 40)
    heights = (190, 18 * len(shown), BAR) if shown else (190,)
    figure = sheet(_WIDTH, HEAD + sum(heights) + BELOW * len(heights) + 20, "Accuracy on test images", record)
    axes, *below = stacked(figure, *heights)
    for (name, points), look in zip(curves.items(), ((BLUE, "-", "o"), (ORANGE, "--", "s")), strict=False):
        axes.plot(*points, color=look[0], linestyle=look[1], marker=look[2], label=name)
    step_axis(axes, record.num_steps)
    highest = max(max(values, default=0.0) for _, values in curves.values())
    first = min(min(steps, default=0) for steps, _ in curves.values())
    axes.set(ylabel="share that is right", xlim=(min(0, first) - 0.5, axes.get_xlim()[1]))
    value_axis(axes, [0.0, highest])
    axes.set_ylim(0, min(1.02, 1.15 * highest) or 1.0)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    if below:
        _draw_classes(below, shown, len(classes))
    return figure


def _draw_classes(places: Sequence[Axes], classes: Mapping[str, Points], count: int) -> None:
    """Seaborn draws what Matplotlib has no heatmap for: numbers that can be read on every colour."""
    import seaborn

    axes, bar = places
    steps = sorted({step for steps, _ in classes.values() for step in steps})
    shares = [[dict(zip(*points, strict=True)).get(step, np.nan) for step in steps] for points in classes.values()]
    names = ["before" if step < 0 else str(step) for step in steps]
    options = {"vmin": 0, "vmax": 1, "cmap": "cividis", "annot": len(steps) <= 12, "fmt": ".2f"}
    seaborn.heatmap(shares, ax=axes, xticklabels=False, yticklabels=False, cbar=False, **options)
    axes.set_xticks([column + 0.5 for column in spread(len(steps), 12)], [names[i] for i in spread(len(steps), 12)])
    axes.set_yticks(np.arange(len(classes)) + 0.5, list(classes))
    axes.tick_params(length=0, rotation=0)
    of = f"{len(classes)} of {count} classes" if count > len(classes) else "each class"
    axes.set(xlabel="evaluated after step", title=f"share of {of} that is right")
    colour_bar(bar, Normalize(0, 1), "cividis", "share of images")
