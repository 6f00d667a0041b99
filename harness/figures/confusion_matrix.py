"""Which class is taken for which: test images by true and by predicted class."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.errors import NoPictureError
from harness.figures.canvas import blank, own_style, raster, shades
from harness.figures.classes import class_name
from harness.record import Record


__all__ = ["confusion_matrix", "counts_of"]

_COLOURS = "cividis"
_SIDE = 480
_MOST_NUMBERS = 20
"""Classes up to which there is room for the counts."""


def confusion_matrix(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a cell for each pair of true (row) and predicted (column) class: the share of the row's images, 0 to 1.

    Args:
        record: a finished training that evaluated.
        labelled: with the classes' names and the counts, for people; without, for pytest-mpl.

    Returns:
        A figure of at most 480x480 pixels (labelled: 760x680), unknown to pyplot.

    Raises:
        NoPictureError: the record holds no confusion matrix.
    """
    counts_KK = counts_of(record, "confusion_matrix")
    with np.errstate(invalid="ignore"):  # a class without images is grey
        shares_KK = counts_KK / counts_KK.sum(axis=1, keepdims=True)
    with own_style():
        if labelled:
            return _labelled(record, counts_KK, shares_KK)
        cell = max(1, _SIDE // len(counts_KK))
        return raster(shades(shares_KK, 0.0, 1.0, _COLOURS).repeat(cell, axis=0).repeat(cell, axis=1))


def counts_of(record: Record, figure: str) -> NDArray[np.float64]:
    """Return the confusion matrix of a record, true classes in rows.

    Raises:
        NoPictureError: it has none.
    """
    if not record.confusion:
        remedy = "call recorder.keep_predictions(images, labels, predicted) after the last evaluation"
        raise NoPictureError(name=record.name, picture="confusion matrix", figure=figure, remedy=remedy)
    return np.array(record.confusion, dtype=np.float64)


def _labelled(record: Record, counts_KK: NDArray[np.float64], shares_KK: NDArray[np.float64]) -> Figure:
    import seaborn

    figure = blank(760, 680)
    axes = figure.add_axes((165 / 760, 140 / 680, 500 / 760, 500 / 680))
    beside = figure.add_axes((680 / 760, 140 / 680, 20 / 760, 500 / 680))
    names = [class_name(record, label) for label in range(len(counts_KK))]
    few = len(names) <= _MOST_NUMBERS
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
        cbar_ax=beside,
        cbar_kws={"label": "share of the true class"},
    )
    right = counts_KK.trace() / counts_KK.sum()
    title = f"Test images by class, {record.name}: {right:.1%} of {counts_KK.sum():.0f} right"
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    axes.tick_params(axis="x", rotation=45)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    return figure
