"""The classes of a data set: their names, which is taken for which, how often each is right."""

from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from harness.errors import NotRecordedError
from harness.figures.canvas import BLUE, LIGHT, ORANGE, Values, blank, curve_axes, in_both_forms, pixels_of, shades
from harness.figures.digits import checksums, with_digits
from harness.figures.series import KEEP_PREDICTIONS, told_apart, without_middle
from harness.figures.sheets import BAR, BELOW, HEAD, LETTER, colour_bar, plain, rows_beside, sheet, stacked
from harness.record.record import Record


_NAMES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "synthetic": (
        "disc",
        "ring",
        "square",
        "frame",
        "plus",
        "diagonal cross",
        "horizontal stripes",
        "vertical stripes",
        "checkerboard",
        "triangle",
    ),
}
_LETTERS = 18  # of a name, as many as an axis has room for
_SIDE, _TEXT = 600, 15  # pixels that a matrix may take, and that a line of text does
_ROWS = 40  # classes that have a line of text each
_COLOURS = "cividis"


def class_name(record: Record, label: int) -> str:
    """Return a class's name, as the recorder was given it or as its data set has it, or its number."""
    names = record.class_names or _NAMES.get(record.data.get("name", ""), ())
    if not 0 <= label < len(names):
        return f"class {label}"
    return told_apart(names, _LETTERS, without_middle)[label]


@in_both_forms
def confusion_matrix(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a cell for each pair of true (row) and predicted (column) class: the share of the row's images, 0 to 1.

    At most 480x480 pixels, and below them the digits of each row; labelled with the classes' names and, where there is
    room, the counts that are not zero.

    Raises:
        NotRecordedError: the record holds no confusion matrix.
    """
    counts_KK = _counts(record, "confusion_matrix")
    with np.errstate(invalid="ignore"):  # a class without images is grey
        shares_KK = counts_KK / counts_KK.sum(axis=1, keepdims=True)
    if labelled:
        return _labelled(record, counts_KK, shares_KK)
    cell = max(1, 480 // len(counts_KK))
    cells_HWC = shades(shares_KK, 0.0, 1.0, _COLOURS).repeat(cell, axis=0).repeat(cell, axis=1)
    return with_digits(record, cells_HWC, checksums(counts_KK.T))


def _counts(record: Record, figure: str) -> Values:
    """Return the confusion matrix of a record, true classes in rows."""
    if not record.confusion:
        facts = {"name": record.name, "figure": figure, "reason": record.undrawn.get("confusion", "")}
        raise NotRecordedError.missing(
            "confusion matrix", **facts, remedy=f"{KEEP_PREDICTIONS}, with labels from 0 to 99"
        )
    return np.array(record.confusion, dtype=np.float64)


def _names(record: Record, count: int) -> list[str]:
    """Return the names of all classes, or numbers alone: the axis says that they are classes."""
    return [class_name(record, label).removeprefix("class ") for label in range(count)]


def _labelled(record: Record, counts_KK: Values, shares_KK: Values) -> Figure:
    """Seaborn draws what Matplotlib has no heatmap for: counts that can be read on every colour."""
    import seaborn

    count, names = len(counts_KK), _names(record, len(counts_KK))
    cell = max(28, LETTER * len(f"{counts_KK.max():.0f}") + 8)
    told = cell * count <= _SIDE  # there is room for counts
    cell = min(48, _SIDE // count) if told else max(1, _SIDE // count)
    beside = LETTER * max(map(len, names)) + 60
    size = max(440, cell * count + beside), cell * count + beside + HEAD + BELOW + 12
    figure = sheet(*size, f"Test images by class: {counts_KK.trace() / counts_KK.sum():.1%} are right", record)
    axes, bar = stacked(figure, cell * count, BAR)
    written = np.array([[f"{number:.0f}" if number else "" for number in row] for row in counts_KK])
    options = {"vmin": 0, "vmax": 1, "cmap": _COLOURS, "cbar": False, "annot": written if told else False, "fmt": ""}
    seaborn.heatmap(shares_KK, ax=axes, xticklabels=False, yticklabels=False, **options)
    axes.set_facecolor(LIGHT)
    shown = range(0, count, -(-_TEXT // cell))
    places = [label + 0.5 for label in shown]
    axes.set_yticks(places, [names[label] for label in shown])
    upright = max(map(len, names)) * LETTER < cell
    turned: dict[str, Any] = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, [names[label] for label in shown], **turned)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted class", ylabel="true class")
    rest = ["written: how many"] * told + ["light grey: no image"] * (not counts_KK.any(axis=1).all())
    key = "share of the images of the true class" + f"\n({'; '.join(rest)})" * bool(rest)
    colour_bar(bar, Normalize(0, 1), _COLOURS, key)
    return figure


@in_both_forms
def class_accuracy(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a bar a class, 0 to 1: the share of its test images that were right; the line is the accuracy of all.

    640x480 pixels, and the digits of each class below. A class without images has a light grey bar. The
    labelled form has a row a class, and shows the line of guessing, too.

    Raises:
        NotRecordedError: the record holds no confusion matrix.
    """
    counts_KK = _counts(record, "class_accuracy")
    totals_K = counts_KK.sum(axis=1)
    shares_K = np.divide(counts_KK.diagonal(), totals_K, out=np.zeros(len(totals_K)), where=totals_K > 0)
    accuracy = counts_KK.trace() / max(1.0, counts_KK.sum())
    if labelled:
        return _labelled_accuracy(record, shares_K, totals_K, accuracy)
    classes = len(shares_K)
    figure = blank(640, 480)
    axes = curve_axes(figure, (0.05, 0.05, 0.9, 0.9), (-0.6, classes - 0.4, 0.0, 1.06))
    axes.grid(visible=False, axis="x")
    axes.bar(range(classes), shares_K, color=BLUE)
    axes.bar(np.flatnonzero(totals_K == 0), 1.0, color=LIGHT)
    axes.axhline(accuracy, color=ORANGE, linewidth=2, linestyle="--")
    return with_digits(record, pixels_of(figure), checksums(np.stack([totals_K, counts_KK.diagonal()])))


def _labelled_accuracy(record: Record, shares_K: Values, totals_K: Values, accuracy: float) -> Figure:
    """Draw a row a class: its name, its bar, and on the right, where nothing else is, its numbers."""
    count, names = len(shares_K), _names(record, len(shares_K))
    told = count <= _ROWS
    figure = sheet(640, HEAD + 84 + (18 if told else 7) * max(2, count), "Accuracy of each class", record)
    axes = figure.subplots()
    axes.barh(range(count), shares_K, color=BLUE, height=0.76)
    axes.barh(np.flatnonzero(totals_K == 0), 1.0, color=LIGHT, height=0.76)
    all_images = f"all {totals_K.sum():.0f} images: {accuracy:.1%}"
    axes.axvline(accuracy, color=ORANGE, linestyle="--", label=all_images)
    axes.axvline(1 / count, color="black", linewidth=1.2, linestyle=":", label=f"guessing: {1 / count:.1%}")
    shown = range(0, count, 1 if told else 3)
    axes.set_yticks(shown, [names[label] for label in shown])
    key = "share of a class's test images that are right" + "; light grey: no image" * (not totals_K.all())
    right = min(1.0, 1.15 * max(*shares_K, accuracy, 1 / count))
    axes.set(xlim=(0, right), ylim=(count - 0.4, -0.6), xlabel=key)
    axes.set_ylabel("class" if names[0].isdecimal() else "")
    axes.xaxis.set_major_formatter(plain)
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    if told:
        numbers = zip(shares_K, totals_K, strict=True)
        rows_beside(axes, [f"{share:.0%} of {total:.0f}" if total else "no image" for share, total in numbers])
    return figure
