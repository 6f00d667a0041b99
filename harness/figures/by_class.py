"""The classes of a data set: their names, which is taken for which, how often each is right."""

import numpy as np
from matplotlib.figure import Figure

from harness.errors import NotRecordedError
from harness.figures.canvas import BLUE, ORANGE, Values, blank, curve_axes, in_both_forms, pixels_of, shades
from harness.figures.digits import checksums, with_digits
from harness.figures.series import KEEP_PREDICTIONS
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
_COLOURS = "cividis"


def class_name(record: Record, label: int) -> str:
    """Return a class's name, as the recorder was given it or as its data set has it, or its number."""
    names = record.class_names or _NAMES.get(record.data.get("name", ""), ())
    if not 0 <= label < len(names):
        return f"class {label}"
    name = names[label] if len(names[label]) <= _LETTERS else f"{names[label][: _LETTERS - 3]}..."
    return name.replace("$", r"\$")  # between two of them, Matplotlib would read a formula


@in_both_forms
def confusion_matrix(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a cell for each pair of true (row) and predicted (column) class: the share of the row's images, 0 to 1.

    At most 480x480 pixels, and below them the digits of each row; labelled 760x680, with the classes' names and, of up
    to 20 classes, the counts.

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


def _labelled(record: Record, counts_KK: Values, shares_KK: Values) -> Figure:
    import seaborn

    figure = blank(760, 680)
    axes = figure.add_axes((165 / 760, 140 / 680, 500 / 760, 500 / 680))
    names = [class_name(record, label) for label in range(len(counts_KK))]
    few = len(names) <= 20  # there is room for names and counts
    seaborn.heatmap(
        shares_KK,
        ax=axes,
        vmin=0,
        vmax=1,
        cmap=_COLOURS,
        annot=counts_KK if few else False,
        fmt=".0f",
        xticklabels=names if few else "auto",
        yticklabels=names if few else "auto",
        cbar_ax=figure.add_axes((680 / 760, 140 / 680, 20 / 760, 500 / 680)),
        cbar_kws={"label": "share of the true class"},
    )
    right = counts_KK.trace() / counts_KK.sum()
    title = f"Test images by class, {record.name}: {right:.1%} of {counts_KK.sum():.0f} right"
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    axes.tick_params(axis="x", rotation=45)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    return figure


@in_both_forms
def class_accuracy(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a bar a class, 0 to 1: the share of its test images that were right; the line is the accuracy of all.

    640x480 pixels, and the digits of each class below. A class without images has no bar. The labelled form shows the
    line of guessing, too.

    Raises:
        NotRecordedError: the record holds no confusion matrix.
    """
    counts_KK = _counts(record, "class_accuracy")
    totals_K = counts_KK.sum(axis=1)
    shares_K = np.divide(counts_KK.diagonal(), totals_K, out=np.zeros(len(totals_K)), where=totals_K > 0)
    accuracy = counts_KK.trace() / max(1.0, counts_KK.sum())
    classes = len(shares_K)
    figure = blank(640, 480)
    place = (0.1, 0.26, 0.87, 0.66) if labelled else (0.05, 0.05, 0.9, 0.9)
    axes = curve_axes(figure, place, (-0.6, classes - 0.4, 0.0, 1.2 if labelled else 1.06), labelled)
    axes.grid(visible=False, axis="x")
    bars = axes.bar(range(classes), shares_K, color=BLUE)
    all_images = f"all {counts_KK.sum():.0f} images: {accuracy:.1%}"
    axes.axhline(accuracy, color=ORANGE, linewidth=2, linestyle="--", label=all_images)
    if labelled:
        axes.axhline(1 / classes, color="black", linewidth=1, linestyle=":", label=f"guessing: {1 / classes:.1%}")
        axes.bar_label(bars, [f"{share:.0%}" for share in shares_K], fontsize=8)
        names = [class_name(record, label) for label in range(classes)]
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xticks(range(classes), names, rotation=45, ha="right", fontsize=9)
        axes.set(title=f"Test accuracy of each class, {record.name}", ylabel="accuracy (share of images, 0 to 1)")
        axes.legend(loc="upper center", ncols=2, fontsize=9, frameon=False)
        return figure
    return with_digits(record, pixels_of(figure), checksums(np.stack([totals_K, counts_KK.diagonal()])))
