"""Curves over the steps: loss, learning rates, accuracy, and below them their leading digits as colours."""

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Context, Decimal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.figures.canvas import BLUE, COLOURS, ORANGE, blank, curve_axes, frozen, own_style
from harness.figures.classes import class_name
from harness.figures.series import WATCH, finite_series, loss_limit, spread, training_loss
from harness.record import Record, StreamKey


_WIDTH, _HEIGHT = 640, 480

_LEFT, _RIGHT = 72, 8

_ROOM = _WIDTH - _LEFT - _RIGHT

_CELL_HEIGHT = 16

_RASTER_BOTTOM = 20

_MOST_RASTERS = 4

_Points = tuple[Sequence[int], Sequence[float]]


def curve(
    record: Record,
    series: Mapping[str, _Points],
    *,
    limit: float,
    title: str,
    quantity: str,
    labelled: bool,
    beside: Mapping[str, _Points] | None = None,
) -> Figure:
    """Draw series against the step from 0 to a limit; for float64, their nine leading digits below.

    Args:
        record: whose series they are.
        series: name to steps and finite values.
        limit: upper end of the axis.
        title: of the labelled form.
        quantity: what the axis shows.
        labelled: for people; without, for pytest-mpl.
        beside: series that only the labelled form shows, as points.

    Returns:
        A 640x480 pixel figure, unknown to pyplot.
    """
    with own_style():
        figure = blank(_WIDTH, _HEIGHT)
        digits = record.precision == "float64"
        bottom = 0.46 if digits else 0.12
        place = (_LEFT / _WIDTH, bottom, _width(record.num_steps) / _WIDTH, 0.92 - bottom)
        axes = curve_axes(figure, place, (-0.5, record.num_steps - 0.5, 0.0, limit), labelled)
        for (name, points), colour in zip(series.items(), _repeated(COLOURS, len(series)), strict=True):
            axes.plot(*points, color=colour, linewidth=2, label=name)
        if digits:
            _add_digits(figure, [values for _, values in series.values()][:_MOST_RASTERS])
        if labelled:
            for (name, points), colour in zip((beside or {}).items(), COLOURS[1:], strict=False):
                axes.plot(*points, color=colour, linestyle="none", marker="o", label=name)
            axes.set(title=title, xlabel="step", ylabel=quantity)
            if len(series) > 1 or beside:
                axes.legend(loc="best", fontsize=9)
            _label_digits(figure, digits)
        return figure if labelled else frozen(figure)


def _width(steps: int) -> int:
    """Return the width in pixels of axes whose steps stand above the columns of the digits."""
    return _ROOM // steps * steps if 0 < steps <= _ROOM else _ROOM


def _repeated(colours: Sequence[str], count: int) -> list[str]:
    return [colours[i % len(colours)] for i in range(count)]


def _add_digits(figure: Figure, series: Sequence[Sequence[float]]) -> None:
    """Put one raster a series below each other, the first on top, in the room of one."""
    cell_height = _CELL_HEIGHT // len(series)
    for index, values in enumerate(reversed(series)):
        chosen = [values[i] for i in spread(len(values), _ROOM)]
        pixels_HWC = digit_raster(chosen, _ROOM // len(chosen), cell_height)
        figure.figimage(pixels_HWC, xo=_LEFT, yo=_RASTER_BOTTOM + index * DIGITS * cell_height, origin="upper")


def _label_digits(figure: Figure, digits: bool) -> None:
    if digits:
        height = (_RASTER_BOTTOM + DIGITS * _CELL_HEIGHT / 2) / _HEIGHT
        figure.text(0.06, height, "leading digits", rotation="vertical", va="center", ha="center", fontsize=10)


DIGITS = 9
"""Digits shown. Equal float64 trainings agree to 12 and more."""


def leading_digits(value: float) -> list[int]:
    """Return the first nine significant decimal digits of a number, not rounded: 0.0123 gives 1, 2, 3, 0, ...

    Args:
        value: finite; the sign and the power of ten are left to the curve.
    """
    cut = Context(prec=DIGITS, rounding=ROUND_DOWN).plus(Decimal(repr(abs(value))))
    digits = cut.as_tuple().digits
    return list(digits) + [0] * (DIGITS - len(digits))


def digit_raster(values: Sequence[float], cell_width: int, cell_height: int) -> NDArray[np.uint8]:
    """Return a picture with one column of nine cells a value, leading digit on top.

    The colour map is cyclic: where a rounding error carries a 9 to a 0, the colour hardly moves.

    Args:
        values: finite numbers.
        cell_width: width of a cell in pixels.
        cell_height: height of a cell in pixels.

    Returns:
        uint8, shape (9 * cell_height, len(values) * cell_width, 3).
    """
    palette = matplotlib.colormaps["twilight"](np.arange(10) / 10, bytes=True)[:, :3]
    digits_DN = np.array([leading_digits(value) for value in values]).T
    pixels_HWC: NDArray[np.uint8] = palette[digits_DN].repeat(cell_height, axis=0).repeat(cell_width, axis=1)
    return pixels_HWC


def loss_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw training loss against step, fixed axes; for float64, a raster of each loss's nine leading digits below.

    Args:
        record: a finished training.
        labelled: with title, axis labels, numbers and the loss of evaluations, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure, unknown to pyplot.

    Raises:
        NotRecordedError: the record has no loss.
        NonFiniteError: a loss is NaN or infinite; names the first such step.
    """
    steps, values = training_loss(record)
    evaluated = record.streams.find("evaluation/loss")
    return curve(
        record,
        {"training": (steps, values)},
        limit=loss_limit(record, values),
        title=f"Training loss, {record.name}, {record.device}",
        quantity="loss",
        labelled=labelled,
        beside={"evaluation": (evaluated.steps, [float(value) for value in evaluated.values])} if evaluated else None,
    )


_REMEDY = "log it: recorder.evaluation(accuracy=...)"

_CLASS = "class_accuracy["


def accuracy_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw test accuracy (0 to 1) against step for the model (line) and its weight average (dashes), fixed axes.

    Args:
        record: a finished training that evaluated.
        labelled: with title, axis labels, legend and a heatmap of the accuracy of each class, for people.

    Returns:
        A 640x480 pixel figure (labelled, with classes: 640x720), unknown to pyplot.

    Raises:
        NotRecordedError: the record has no accuracy.
        NonFiniteError: an accuracy is NaN or infinite; names the first such step.
    """
    steps, accuracies = finite_series(record, "evaluation/accuracy", "accuracy_curve", _REMEDY)
    classes = [key for key, _ in record.streams.of("evaluation") if labelled and key.tensor.startswith(_CLASS)]
    with own_style():
        figure = blank(640, 720 if classes else 480)
        place = (0.1, 0.55, 0.85, 0.4) if classes else (0.1, 0.1, 0.85, 0.85 - 0.05 * labelled)
        axes = curve_axes(figure, place, (-0.5, record.num_steps + 0.5, 0.0, 1.0), labelled)
        axes.plot(steps, accuracies, color=BLUE, linewidth=2, marker="o", label="model")
        if "evaluation/average_accuracy" in record.streams:
            average = finite_series(record, "evaluation/average_accuracy", "accuracy_curve", _REMEDY)
            axes.plot(*average, color=ORANGE, linewidth=2, linestyle="--", marker="s", label="average of weights")
        if labelled:
            axes.set(title=f"Test accuracy, {record.name}, {record.device}", xlabel="step", ylabel="accuracy")
            axes.legend(loc="upper left")
        if classes:
            _add_classes(figure, record, classes)
        return figure if labelled else frozen(figure)


def _add_classes(figure: Figure, record: Record, names: list[StreamKey]) -> None:
    """Seaborn draws what Matplotlib has no heatmap for."""
    import seaborn

    rows = [finite_series(record, name, "accuracy_curve", _REMEDY) for name in names]
    axes = figure.add_axes((0.22, 0.08, 0.73, 0.36))
    labels = [name.tensor.removeprefix(_CLASS).removesuffix("]") for name in names]
    labels = [class_name(record, int(label)) if label.isdecimal() else label for label in labels]
    ticks: dict[str, object] = {"xticklabels": rows[0][0], "yticklabels": labels}
    shares = [values for _, values in rows]
    seaborn.heatmap(shares, ax=axes, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".2f", **ticks)
    axes.set(xlabel="step", title="Accuracy of each class")
    axes.tick_params(axis="y", rotation=0)


_ROUND = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)


def learning_rate_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the learning rate of each parameter group against step; groups of one schedule share a curve.

    Args:
        record: a finished training.
        labelled: with title, axis labels, numbers and the groups' names, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure, unknown to pyplot. For float64 it holds the nine leading digits of each rate.

    Raises:
        NotRecordedError: the record has no learning rate.
        NonFiniteError: a rate is NaN or infinite; names the first such step.
    """
    names = [key for key, _ in record.streams.of("learning_rate")] or [StreamKey("learning rate")]
    schedules: dict[tuple[tuple[int, ...], tuple[float, ...]], list[str]] = {}
    for name in names:
        steps, values = finite_series(record, name, "learning_rate_curve", WATCH)
        schedules.setdefault((tuple(steps), tuple(values)), []).append(name.tensor)
    largest = max(max(map(abs, values), default=0.0) for _, values in schedules)
    return curve(
        record,
        {f"group of {', '.join(groups)}": points for points, groups in schedules.items()},
        limit=_limit(largest),
        title=f"Learning rate, {record.name}, {record.device}",
        quantity="learning rate",
        labelled=labelled,
    )


def _limit(largest: float) -> float:
    """Return the end of the axis: a round number a little above the largest rate."""
    if not largest:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(step * power for step in _ROUND if step * power > 1.02 * largest)
