"""What the convolutions make of one image."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.figures.canvas import blank, own_style, raster, shades
from harness.figures.series import shortened
from harness.figures.sheet import picture_of, pixels_in
from harness.record import Picture, Record


__all__ = ["activation_maps"]

_PREFIX = "activation/"
_TILE = 96
_GAP = 4
_COLUMNS = 6
_NAMES = 190
"""Pixels for the layers' names."""
_LETTERS = 24
_TOP = 40


def activation_maps(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the first channels of up to six convolutions for one test image of the last evaluation, a row a layer.

    Each row goes from its smallest (dark) to its largest number (light). Convolutions are shown as they come, before
    any activation function.

    Args:
        record: a finished training that evaluated.
        labelled: with the image itself, the layers' names and the ends of their scales, for people.

    Returns:
        A figure 604 pixels wide (labelled: 804), unknown to pyplot.

    Raises:
        NoPictureError: the record holds no activation maps.
    """
    names = [name for name in record.pictures if name.startswith(_PREFIX) and name != f"{_PREFIX}input"]
    remedy = "evaluate the watched model in the block (model.eval()), and watch one with nn.Conv2d, uncompiled"
    pictures = [picture_of(record, name, "activation_maps", remedy) for name in names or ["activation maps"]]
    page_HWC = _page([_coloured(picture) for picture in pictures])
    with own_style():
        return _labelled(record, page_HWC, names, pictures) if labelled else raster(page_HWC)


def _coloured(picture: Picture) -> list[NDArray[np.uint8]]:
    maps_NHW = pixels_in(picture)[..., 0].astype(np.float64)
    return [shades(map_HW, 0.0, 255.0, "viridis") for map_HW in maps_NHW]


def _page(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Return rows of maps, each enlarged by a whole number, with white gaps."""
    cell = _TILE + _GAP
    page_HWC = np.full((len(rows) * cell + _GAP, _COLUMNS * cell + _GAP, 3), 255, dtype=np.uint8)
    for row, maps in enumerate(rows):
        for column, map_HWC in enumerate(maps[:_COLUMNS]):
            large_HWC = _enlarged(map_HWC)
            top, left = row * cell + _GAP, column * cell + _GAP
            page_HWC[top : top + large_HWC.shape[0], left : left + large_HWC.shape[1]] = large_HWC
    return page_HWC


def _enlarged(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = max(1, _TILE // max(image_HWC.shape[:2]))
    return image_HWC.repeat(scale, axis=0).repeat(scale, axis=1)[:_TILE, :_TILE]


def _labelled(record: Record, page_HWC: NDArray[np.uint8], names: Sequence[str], pictures: Sequence[Picture]) -> Figure:
    cell = _TILE + _GAP
    shown = record.pictures.get(f"{_PREFIX}input")
    above = cell if shown else 0
    height, width = page_HWC.shape[0] + above + _TOP, page_HWC.shape[1] + _NAMES + 10
    figure = blank(width, height)
    figure.figimage(page_HWC, xo=_NAMES, yo=0, origin="upper")
    if shown:
        figure.figimage(_enlarged(pixels_in(shown)[0]), xo=_NAMES + _GAP, yo=page_HWC.shape[0], origin="upper")
        figure.text((_NAMES - 10) / width, 1 - (_TOP + cell / 2) / height, "input", ha="right", va="center")
    for row, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        low, high = picture.limits or (0.0, 0.0)
        text = f"{shortened(name.removeprefix(_PREFIX), _LETTERS)}\n{low:.2g} to {high:.2g}"
        middle = 1 - (_TOP + above + (row + 0.5) * cell) / height
        figure.text((_NAMES - 10) / width, middle, text, ha="right", va="center", fontsize=9)
    figure.suptitle(f"Activation maps of one test image, {record.name}", y=1 - 12 / height, va="top")
    return figure
