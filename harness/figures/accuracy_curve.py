"""The accuracy of every evaluation, of the model and of its average; labelled, with a heatmap of the classes."""

from matplotlib.figure import Figure

from harness.figures.canvas import BLUE, ORANGE, blank, curve_axes, frozen, own_style
from harness.figures.classes import class_name
from harness.figures.series import finite_series
from harness.record import Record


__all__ = ["accuracy_curve"]

_REMEDY = "log it: recorder.evaluation(accuracy=...)"
_CLASS_STREAM = "evaluation/class_accuracy["


def accuracy_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw test accuracy (0 to 1) against step for the model (line) and its weight average (dashes), fixed axes.

    Args:
        record: a finished training that evaluated.
        labelled: with title, axis labels, legend and a heatmap of the accuracy of each class, for people.

    Returns:
        A 640x480 pixel figure (labelled, with classes: 640x720), unknown to pyplot.

    Raises:
        NoStreamError: the record has no accuracy.
        NonFiniteError: an accuracy is NaN or infinite; names the first such step.
    """
    steps, accuracies = finite_series(record, "evaluation/accuracy", "accuracy_curve", _REMEDY)
    classes = [name for name in record.streams if labelled and name.startswith(_CLASS_STREAM)]
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


def _add_classes(figure: Figure, record: Record, names: list[str]) -> None:
    """Seaborn draws what Matplotlib has no heatmap for."""
    import seaborn

    rows = [finite_series(record, name, "accuracy_curve", _REMEDY) for name in names]
    axes = figure.add_axes((0.22, 0.08, 0.73, 0.36))
    labels = [name.removeprefix(_CLASS_STREAM).removesuffix("]") for name in names]
    labels = [class_name(record, int(label)) if label.isdecimal() else label for label in labels]
    ticks: dict[str, object] = {"xticklabels": rows[0][0], "yticklabels": labels}
    shares = [values for _, values in rows]
    seaborn.heatmap(shares, ax=axes, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".2f", **ticks)
    axes.set(xlabel="step", title="Accuracy of each class")
    axes.tick_params(axis="y", rotation=0)
