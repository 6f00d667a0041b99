"""A grid of small images as one raster, built with Pillow."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.errors import NoPictureError
from harness.figures.canvas import blank, own_style, raster
from harness.record import Picture, Record


__all__ = ["image_of", "labelled_sheet", "picture_of", "sheet"]

COLUMNS = 5
"""Images a row: the article's grid is 2 x 5."""
_SCALE = 3
_FRAME = 6


def picture_of(record: Record, kind: str, remedy: str) -> Picture:
    """Return a record's picture.

    Raises:
        NoPictureError: it has none of this kind; the message gives the remedy.
    """
    if kind not in record.pictures:
        figure = {"batch": "batch", "predictions": "prediction"}[kind]
        raise NoPictureError(name=record.name, picture=figure, remedy=remedy)
    return record.pictures[kind]


def image_of(picture: Picture, index: int) -> Image.Image:
    """Return one image of a picture, each pixel enlarged to a 3x3 square."""
    count, height, width = picture.shape
    images_NHWC = np.frombuffer(picture.pixels, dtype=np.uint8).reshape(count, height, width, 3)
    return ImageOps.scale(Image.fromarray(images_NHWC[index]), _SCALE, Image.Resampling.NEAREST)


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
    """Return the same sheet with a caption under each image and a title, for people."""
    with own_style():
        pixels_HWC: NDArray[np.uint8] = np.asarray(_paste(images, colours))
        rows = -(-len(images) // COLUMNS)
        figure = blank(640, 60 + 145 * rows)
        figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.82, wspace=0.08, hspace=0.25)
        figure.suptitle(title)
        tile_height = pixels_HWC.shape[0] // rows
        tile_width = pixels_HWC.shape[1] // COLUMNS
        for index, caption in enumerate(captions):
            row, column = divmod(index, COLUMNS)
            axes = figure.add_subplot(rows, COLUMNS, index + 1)
            top, left = row * tile_height, column * tile_width
            axes.imshow(pixels_HWC[top : top + tile_height, left : left + tile_width])
            axes.set_title(caption, fontsize=9)
            axes.set_axis_off()
    return figure


def _paste(images: Sequence[Image.Image], colours: Sequence[str]) -> Image.Image:
    tiles = [ImageOps.expand(i, _FRAME, fill=colour) for i, colour in zip(images, colours, strict=True)]
    width, height = tiles[0].size
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    for index, tile in enumerate(tiles):
        page.paste(tile, (index % COLUMNS * width, index // COLUMNS * height))
    return page
