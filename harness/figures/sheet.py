"""A grid of small images as one raster, built with Pillow."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.errors import NoPictureError
from harness.figures.canvas import blank, own_style, raster
from harness.record import Picture, Record


__all__ = ["image_of", "labelled_sheet", "picture_of", "pixels_in", "sheet"]

COLUMNS = 5
"""Images a row: the article's grid is 2 x 5."""
_SCALE = 3
_FRAME = 6
_LINE, _SPACE, _TITLE = 14, 10, 40
"""Pixels of a line of a caption, between things, and of the title."""
_WORDED = {"batch": "batch images", "predictions": "prediction images"}


def picture_of(record: Record, name: str, figure: str, remedy: str) -> Picture:
    """Return a record's picture.

    Args:
        record: the record.
        name: the picture's name.
        figure: the figure that wants it, for the message.
        remedy: what to do if it is missing, for the message.

    Raises:
        NoPictureError: it has none of this name.
    """
    if name not in record.pictures:
        raise NoPictureError(name=record.name, picture=_WORDED.get(name, name), figure=figure, remedy=remedy)
    return record.pictures[name]


def pixels_in(picture: Picture) -> NDArray[np.uint8]:
    """Return the images of a picture, shape (count, height, width, 3)."""
    return np.frombuffer(picture.pixels, dtype=np.uint8).reshape(*picture.shape, 3)


def image_of(picture: Picture, index: int) -> Image.Image:
    """Return one image of a picture, each pixel enlarged to a 3x3 square."""
    return ImageOps.scale(Image.fromarray(pixels_in(picture)[index]), _SCALE, Image.Resampling.NEAREST)


def sheet(images: Sequence[Image.Image], colours: Sequence[str]) -> Figure:
    """Return a figure of framed images, five a row, exact to the pixel.

    Args:
        images: of equal size.
        colours: of each image's frame.
    """
    with own_style():
        return raster(np.asarray(_paste(images, colours)))


def labelled_sheet(
    images: Sequence[Image.Image], colours: Sequence[str], captions: Sequence[str], title: str
) -> Figure:
    """Return the same images with a caption of up to a few lines above each and a title, for people."""
    tiles = _framed(images, colours)
    width, height = tiles[0].size
    above = _LINE * (1 + max(caption.count("\n") for caption in captions)) + _SPACE
    rows = -(-len(tiles) // COLUMNS)
    page_width, page_height = COLUMNS * (width + 2 * _SPACE), _TITLE + rows * (height + above + _SPACE)
    with own_style():
        figure = blank(page_width, page_height)
        figure.suptitle(title, y=1 - _SPACE / page_height, va="top")
        for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
            row, column = divmod(index, COLUMNS)
            left, top = column * (width + 2 * _SPACE) + _SPACE, _TITLE + row * (height + above + _SPACE) + above
            figure.figimage(np.asarray(tile), xo=left, yo=page_height - top - height, origin="upper")
            place = (left + width / 2) / page_width, 1 - (top - 4) / page_height
            figure.text(*place, caption, ha="center", va="bottom", fontsize=8)
    return figure


def _framed(images: Sequence[Image.Image], colours: Sequence[str]) -> list[Image.Image]:
    return [ImageOps.expand(i, _FRAME, fill=colour) for i, colour in zip(images, colours, strict=True)]


def _paste(images: Sequence[Image.Image], colours: Sequence[str]) -> Image.Image:
    tiles = _framed(images, colours)
    width, height = tiles[0].size
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    for index, tile in enumerate(tiles):
        page.paste(tile, (index % COLUMNS * width, index // COLUMNS * height))
    return page
