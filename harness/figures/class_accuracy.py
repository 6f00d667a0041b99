"""The accuracy of each class in the last evaluation."""

import numpy as np
from matplotlib.figure import Figure

from harness.figures.canvas import BLUE, ORANGE, blank, curve_axes, frozen, own_style
from harness.figures.classes import class_name
from harness.figures.confusion_matrix import counts_of
from harness.record import Record


__all__ = ["class_accuracy"]


def class_accuracy(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a bar a class, 0 to 1: the share of its test images that were right; the line is the accuracy of all.

    Args:
        record: a finished training that evaluated.
        labelled: with title, the classes' names, numbers and the line of guessing, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure, unknown to pyplot. A class without images has no bar.

    Raises:
        NoPictureError: the record holds no confusion matrix.
    """
    counts_KK = counts_of(record, "class_accuracy")
    totals_K = counts_KK.sum(axis=1)
    shares_K = np.divide(counts_KK.diagonal(), totals_K, out=np.zeros(len(totals_K)), where=totals_K > 0)
    accuracy = counts_KK.trace() / max(1.0, counts_KK.sum())
    classes = len(shares_K)
    with own_style():
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
        return figure if labelled else frozen(figure)
