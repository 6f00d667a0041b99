"""The filters of the first layer: what it looks for in an image."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.figures.canvas import blank, own_style, raster
from harness.figures.sheet import picture_of, pixels_in
from harness.record import Record


__all__ = ["filters"]

_COLUMNS = 8
_TILE = 60
_GAP = 4


def filters(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to 64 filters of the first layer after the training, eight a row; mid-grey is zero, alike in all.

    Args:
        record: a finished training.
        labelled: with title and scale, for people; without, for pytest-mpl.

    Returns:
        A figure 516 pixels wide (labelled: 640), unknown to pyplot.

    Raises:
        NoPictureError: the first layer sees no images of 3 or 1 channels.
    """
    remedy = "watch a model whose first weight is that of a convolution over images with 3 or 1 channels"
    picture = picture_of(record, "filters", "filters", remedy)
    page_HWC = _page(pixels_in(picture))
    with own_style():
        if not labelled:
            return raster(page_HWC)
        height, width = page_HWC.shape[:2]
        figure = blank(640, height + 100)
        figure.figimage(page_HWC, xo=(640 - width) // 2, yo=40, origin="upper")
        count, rows, columns = picture.shape
        largest = picture.limits[1] if picture.limits else 0.0
        title = f"First layer after the training, {record.name}: {count} filters of {rows}x{columns}"
        figure.suptitle(title, y=1 - 12 / (height + 100), va="top")
        figure.text(0.5, 0.02, f"mid-grey is 0, black -{largest:.3g}, white {largest:.3g}", ha="center", va="bottom")
        return figure


def _page(filters_NHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the filters in rows of eight, enlarged by a whole number, with white gaps."""
    count, height, width, _ = filters_NHWC.shape
    scale = max(1, _TILE // max(height, width))
    large_NHWC = filters_NHWC.repeat(scale, axis=1).repeat(scale, axis=2)
    cell_height, cell_width = height * scale + _GAP, width * scale + _GAP
    rows = -(-count // _COLUMNS)
    page_HWC = np.full((rows * cell_height + _GAP, _COLUMNS * cell_width + _GAP, 3), 255, dtype=np.uint8)
    for index, filter_HWC in enumerate(large_NHWC):
        top, left = index // _COLUMNS * cell_height + _GAP, index % _COLUMNS * cell_width + _GAP
        page_HWC[top : top + height * scale, left : left + width * scale] = filter_HWC
    return page_HWC
