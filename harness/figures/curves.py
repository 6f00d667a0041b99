"""Curves over the steps: loss, learning rates, accuracy, and below them their leading digits as colours."""

import math
from collections.abc import Mapping
from itertools import cycle, islice

import numpy as np
from matplotlib.figure import Figure

from harness.figures.by_class import class_name
from harness.figures.canvas import BLUE, COLOURS, ORANGE, blank, curve_axes, in_both_forms, pixels_of
from harness.figures.digits import LEFT, ROOM, add_digits, checksums, with_digits
from harness.figures.panels import MOST, Points, accuracies, panels
from harness.figures.series import WATCH, finite_series, loss_limits, training_losses
from harness.record import Record, StreamKey
from harness.record.matching import group_text


_WIDTH, _HEIGHT = 640, 480


@in_both_forms
def loss_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw training loss against step, fixed axes; for float64, a raster of each loss's eight leading digits below.

    Of a loop that logs several losses each has a curve and a raster; equal ones share them. 640x480 pixels. The
    labelled form has a panel a loss that fits it, logarithmic where the loss is of many sizes, shows the loss of
    evaluations, too, and names of more than eight those that are left out.

    Raises:
        NotRecordedError: the record has no loss.
        NonFiniteError: a loss is NaN or infinite; names the first such step.
    """
    losses = _shared(training_losses(record, "loss_curve"))
    if labelled:
        return _labelled_losses(record, losses)
    shown = dict(islice(losses.items(), MOST))
    limits = loss_limits(record, [values for _, values in shown.values()])
    return _curves(record, shown, limits, digits=not record.is_low_precision)


def _labelled_losses(record: Record, losses: Mapping[str, Points]) -> Figure:
    stream = record.streams.find("evaluation/loss")
    evaluated = (stream.steps, [float(value) for value in stream.values]) if stream else None
    digits = not record.is_low_precision
    if any("loss" in name.lower() for name in losses):
        title = "Training loss at each step"
        return panels(record, title, "loss", losses, digits=digits, scale="log", evaluated=evaluated)
    return panels(record, "What the loop logged at each step", "value", losses, digits=digits)


def _shared(series: Mapping[str, Points]) -> dict[str, Points]:
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
    if labelled:
        return panels(record, "Learning rate at each step", "learning rate", curves, digits=True)
    largest = max(max(map(abs, values), default=0.0) for _, values in curves.values())
    return _curves(record, curves, (0.0, _round_above(largest)), digits=True)


def _round_above(largest: float) -> float:
    """Return the end of an axis: a round number a little above the largest value."""
    if not largest:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    steps = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
    return next(step * power for step in steps if step * power > 1.02 * largest)


def _curves(record: Record, series: Mapping[str, Points], limits: tuple[float, float], *, digits: bool) -> Figure:
    """Draw series against the step between limits, and if wanted their digits below."""
    figure, steps = blank(_WIDTH, _HEIGHT), record.num_steps
    bottom = 0.46 if digits else 0.12
    width = ROOM // steps * steps if 0 < steps <= ROOM else ROOM  # steps stand above the columns of their digits
    place = (LEFT / _WIDTH, bottom, width / _WIDTH, 0.92 - bottom)
    axes = curve_axes(figure, place, (-0.5, steps - 0.5, *limits))
    for points, colour in zip(series.values(), cycle(COLOURS), strict=False):
        axes.plot(*points, color=colour, linewidth=2)
    if digits:
        add_digits(figure, [values for _, values in series.values()])
    return figure


_REMEDY = "log it: recorder.evaluation(accuracy=...)"
_CLASS = "class_accuracy["


@in_both_forms
def accuracy_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw test accuracy (0 to 1) against step for the model (line) and its weight average (dashes), fixed axes.

    640x480 pixels, and the digits of each accuracy below; labelled with the accuracy of each class as a heatmap below,
    where it was logged.

    Raises:
        NotRecordedError: the record has no accuracy.
        NonFiniteError: an accuracy is NaN or infinite; names the first such step.
    """
    curves = {"model": finite_series(record, "evaluation/accuracy", "accuracy_curve", _REMEDY)}
    if "evaluation/average_accuracy" in record.streams:
        average = finite_series(record, "evaluation/average_accuracy", "accuracy_curve", _REMEDY)
        curves["average of weights"] = average
    if labelled:
        return accuracies(record, curves, _by_class(record))
    figure = blank(_WIDTH, _HEIGHT)
    limits = (min(0, *curves["model"][0]) - 0.5, record.num_steps + 0.5, 0.0, 1.0)
    axes = curve_axes(figure, (0.1, 0.1, 0.85, 0.85), limits)
    for points, look in zip(curves.values(), ((BLUE, "-", "o"), (ORANGE, "--", "s")), strict=False):
        axes.plot(*points, color=look[0], linewidth=2, linestyle=look[1], marker=look[2])
    shown = [value for _, values in curves.values() for value in values]
    return with_digits(record, pixels_of(figure), checksums(np.array([shown])))


def _by_class(record: Record) -> dict[str, Points]:
    """Return the accuracies of each class, by its name."""
    keys = [key for key, _ in record.streams.of("evaluation") if key.tensor.startswith(_CLASS)]
    labels = [key.tensor.removeprefix(_CLASS).removesuffix("]") for key in keys]
    names = [class_name(record, int(label)) if label.isdecimal() else label for label in labels]
    return {name: finite_series(record, key, "accuracy_curve", _REMEDY) for name, key in zip(names, keys, strict=True)}
