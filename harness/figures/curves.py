"""Curves over the steps: loss, learning rates, accuracy, and below them their leading digits as colours."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.figures.by_class import class_name
from harness.figures.canvas import BLUE, COLOURS, ORANGE, blank, curve_axes, in_both_forms, pixels_of
from harness.figures.digits import BOTTOM, CELL_HEIGHT, DIGITS, LEFT, ROOM, add_digits, checksums, with_digits
from harness.figures.series import WATCH, finite_series, loss_limits, training_losses
from harness.record import Record, StreamKey
from harness.record.matching import group_text


_WIDTH, _HEIGHT = 640, 480
_MOST = 8  # losses that are drawn

_Points = tuple[Sequence[int], Sequence[float]]


@in_both_forms
def loss_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw training loss against step, fixed axes; for float64, a raster of each loss's eight leading digits below.

    Of a loop that logs several losses each has a curve and a raster; equal ones share them, and of more than eight the
    labelled form names those that are left out. It shows the loss of evaluations, too. 640x480 pixels.

    Raises:
        NotRecordedError: the record has no loss.
        NonFiniteError: a loss is NaN or infinite; names the first such step.
    """
    losses = _shared(training_losses(record, "loss_curve"))
    curves = losses if len(losses) > 1 else {"training": next(iter(losses.values()))}
    shown = dict(islice(curves.items(), _MOST))
    limits = loss_limits(record, [values for _, values in shown.values()])
    figure, axes = _curves(record, shown, limits, labelled, digits=not record.is_low_precision)
    if labelled:
        axes.set(title=f"Training loss, {record.name}, {record.device}", ylabel="loss")
        if left_out := list(curves)[_MOST:]:
            more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
            axes.set_xlabel(f"step   (left out: {', '.join(left_out[:3])}{more})")
        evaluated = record.streams.find("evaluation/loss")
        if evaluated:
            values = [float(value) for value in evaluated.values]
            steps = [max(step, -0.5) for step in evaluated.steps]  # one from before step 0 stands on the axis
            axes.plot(steps, values, color=ORANGE, linestyle="none", marker="o", label="evaluation")
        if evaluated or len(shown) > 1:
            axes.legend(loc="best", fontsize=9)
    return figure


def _shared(series: Mapping[str, _Points]) -> dict[str, _Points]:
    """Return series of which equal ones share an entry, under all of their names."""
    names: dict[tuple[tuple[int, ...], tuple[float, ...]], list[str]] = {}
    for name, (steps, values) in series.items():
        names.setdefault((tuple(steps), tuple(values)), []).append(name)
    return {", ".join(shared): points for points, shared in names.items()}


@in_both_forms
def learning_rate_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the learning rate of each parameter group against step; groups of one schedule share a curve.

    640x480 pixels, with the digits of each rate: it is exact in low precision, too.

    Raises:
        NotRecordedError: the record has no learning rate.
        NonFiniteError: a rate is NaN or infinite; names the first such step.
    """
    keys = [key for key, _ in record.streams.of("learning_rate")] or [StreamKey("learning rate")]
    named = {key: group_text(key.tensor, record.structure) for key in keys}
    curves = _shared({named[key]: finite_series(record, key, "learning_rate_curve", WATCH) for key in keys})
    largest = max(max(map(abs, values), default=0.0) for _, values in curves.values())
    figure, axes = _curves(record, curves, (0.0, _round_above(largest)), labelled, digits=True)
    if labelled:
        axes.set(title=f"Learning rate, {record.name}, {record.device}", ylabel="learning rate")
        if len(curves) > 1:
            axes.legend(loc="best", fontsize=9)
    return figure


def _round_above(largest: float) -> float:
    """Return the end of an axis: a round number a little above the largest value."""
    if not largest:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    steps = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
    return next(step * power for step in steps if step * power > 1.02 * largest)


def _curves(
    record: Record, series: Mapping[str, _Points], limits: tuple[float, float], labelled: bool, digits: bool
) -> tuple[Figure, Axes]:
    """Draw series against the step between limits, and if wanted their digits below."""
    figure, steps = blank(_WIDTH, _HEIGHT), record.num_steps
    bottom = 0.46 if digits else 0.12
    width = ROOM // steps * steps if 0 < steps <= ROOM else ROOM  # steps stand above the columns of their digits
    place = (LEFT / _WIDTH, bottom, width / _WIDTH, 0.92 - bottom)
    axes = curve_axes(figure, place, (-0.5, steps - 0.5, *limits), labelled)
    for (name, points), colour in zip(series.items(), cycle(COLOURS), strict=False):
        axes.plot(*points, color=colour, linewidth=2, label=name)
    if digits:
        add_digits(figure, [values for _, values in series.values()])
    if labelled:
        axes.set_xlabel("step")
    if labelled and digits:
        middle = (BOTTOM + DIGITS * CELL_HEIGHT / 2) / _HEIGHT
        figure.text(0.06, middle, "leading digits", rotation="vertical", va="center", ha="center", fontsize=10)
    return figure, axes


_REMEDY = "log it: recorder.evaluation(accuracy=...)"
_CLASS = "class_accuracy["


@in_both_forms
def accuracy_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw test accuracy (0 to 1) against step for the model (line) and its weight average (dashes), fixed axes.

    640x480 pixels, and the digits of each accuracy below; labelled with the accuracy of each class as a heatmap below,
    where it was logged: 640x720.

    Raises:
        NotRecordedError: the record has no accuracy.
        NonFiniteError: an accuracy is NaN or infinite; names the first such step.
    """
    steps, accuracies = finite_series(record, "evaluation/accuracy", "accuracy_curve", _REMEDY)
    classes = [key for key, _ in record.streams.of("evaluation") if labelled and key.tensor.startswith(_CLASS)]
    figure = blank(640, 720 if classes else 480)
    place = (0.1, 0.55, 0.85, 0.4) if classes else (0.1, 0.1, 0.85, 0.85 - 0.05 * labelled)
    axes = curve_axes(figure, place, (min(0, *steps) - 0.5, record.num_steps + 0.5, 0.0, 1.0), labelled)
    axes.plot(steps, accuracies, color=BLUE, linewidth=2, marker="o", label="model")
    shown = accuracies
    if "evaluation/average_accuracy" in record.streams:
        average = finite_series(record, "evaluation/average_accuracy", "accuracy_curve", _REMEDY)
        axes.plot(*average, color=ORANGE, linewidth=2, linestyle="--", marker="s", label="average of weights")
        shown = accuracies + average[1]
    if labelled:
        axes.set(title=f"Test accuracy, {record.name}, {record.device}", xlabel="step", ylabel="accuracy")
        axes.legend(loc="upper left")
    if classes:
        _add_classes(figure, record, classes)
    return figure if labelled else with_digits(record, pixels_of(figure), checksums(np.array([shown])))


def _add_classes(figure: Figure, record: Record, names: list[StreamKey]) -> None:
    """Seaborn draws what Matplotlib has no heatmap for."""
    import seaborn

    rows = [finite_series(record, name, "accuracy_curve", _REMEDY) for name in names]
    axes = figure.add_axes((0.22, 0.08, 0.73, 0.36))
    labels = [name.tensor.removeprefix(_CLASS).removesuffix("]") for name in names]
    labels = [class_name(record, int(label)) if label.isdecimal() else label for label in labels]
    steps = [step if step >= 0 else "before" for step in rows[0][0]]
    ticks: dict[str, object] = {"xticklabels": steps, "yticklabels": labels}
    shares = [values for _, values in rows]
    seaborn.heatmap(shares, ax=axes, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".2f", **ticks)
    axes.set(xlabel="step", title="Accuracy of each class")
    axes.tick_params(axis="y", rotation=0)
