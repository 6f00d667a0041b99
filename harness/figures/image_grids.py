"""Images in rows, exact to the pixel: batches, predictions, mistakes, filters, activation maps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from harness.errors import NotRecordedError
from harness.figures.canvas import BLUE, ORANGE, blank, own_style, raster, shades
from harness.figures.classes import class_name
from harness.figures.series import shortened
from harness.record.pictures import Picture
from harness.record.record import Record


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
        NotRecordedError: it has none of this name.
    """
    if name not in record.pictures:
        raise NotRecordedError.missing(_WORDED.get(name, name), name=record.name, figure=figure, remedy=remedy)
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


_REMEDY = "call recorder.batch(images, labels) with images of at most 64x64 pixels and 1 or 3 channels"


def batch_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten images of the first batch in rows of five, as one raster at exact pixel size.

    Args:
        record: a finished training.
        labelled: with title and captions, for people; without, for pytest-mpl.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        NotRecordedError: the record holds no images.
    """
    picture = picture_of(record, "batch", "batch_grid", _REMEDY)
    images = [image_of(picture, index) for index in range(picture.shape[0])]
    colours = ["white"] * len(images)
    if not labelled:
        return sheet(images, colours)
    captions = [class_name(record, label) for label in picture.labels] or [f"image {i}" for i in range(len(images))]
    return labelled_sheet(images, colours, captions, f"First batch, {record.name}")


_PREDICTION_GRID_REMEDY = "call recorder.keep_predictions(images, labels, predicted) after the last evaluation"


def prediction_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten test images in rows of five, right and wrong marked by colour and, for the wrong, a corner.

    Args:
        record: a finished training that evaluated.
        labelled: with title, true and predicted class, for people; without, for pytest-mpl.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        NotRecordedError: the record holds no predictions.
    """
    picture = picture_of(record, "predictions", "prediction_grid", _PREDICTION_GRID_REMEDY)
    pairs = list(zip(picture.labels, picture.predicted, strict=True))
    right = [true == predicted for true, predicted in pairs]
    images = [image_of(picture, index) for index in range(len(pairs))]
    images = [image if ok else _with_corner(image) for image, ok in zip(images, right, strict=True)]
    colours = [BLUE if ok else ORANGE for ok in right]
    if not labelled:
        return sheet(images, colours)
    named = [(class_name(record, true), class_name(record, predicted)) for true, predicted in pairs]
    captions = [
        f"{true}\nright" if true == predicted else f"{true}\ntaken for\n{predicted}" for true, predicted in named
    ]
    return labelled_sheet(images, colours, captions, f"Predictions, {record.name}")


def _with_corner(image: Image.Image) -> Image.Image:
    """Fill the upper right corner: colour alone does not reach everyone."""
    side = image.width // 4
    ImageDraw.Draw(image).rectangle((image.width - side, 0, image.width, side), fill=ORANGE)
    return image


_MISTAKES_REMEDY = "call recorder.keep_predictions(images, labels, predicted, confidence=...) after the last evaluation"


def mistakes(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the wrongly classified test images of highest confidence, the surest first, as one raster.

    Args:
        record: a finished training that evaluated.
        labelled: with title, true and predicted class and confidence, for people; without, for pytest-mpl.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        NotRecordedError: the record holds no mistakes: no confidences were given, or every image was right.
    """
    picture = picture_of(record, "mistakes", "mistakes", _MISTAKES_REMEDY)
    images = [image_of(picture, index) for index in range(picture.shape[0])]
    colours = [ORANGE] * len(images)
    if not labelled:
        return sheet(images, colours)
    found = zip(picture.labels, picture.predicted, picture.confidence, strict=True)
    captions = [
        f"{class_name(record, true)}\ntaken for\n{class_name(record, predicted)}\n{confidence:.1%} sure"
        for true, predicted, confidence in found
    ]
    return labelled_sheet(images, colours, captions, f"Most-confident mistakes, {record.name}")


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
        NotRecordedError: the first layer sees no images of 3 or 1 channels.
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


_PREFIX = "activation/"

_ACTIVATION_MAPS_TILE = 96

_ACTIVATION_MAPS_GAP = 4

_ACTIVATION_MAPS_COLUMNS = 6

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
        NotRecordedError: the record holds no activation maps.
    """
    names = [name for name in record.pictures if name.startswith(_PREFIX) and name != f"{_PREFIX}input"]
    remedy = "evaluate the watched model in the block (model.eval()), and watch one with nn.Conv2d, uncompiled"
    pictures = [picture_of(record, name, "activation_maps", remedy) for name in names or ["activation maps"]]
    page_HWC = _activation_maps_page([_coloured(picture) for picture in pictures])
    with own_style():
        return _labelled(record, page_HWC, names, pictures) if labelled else raster(page_HWC)


def _coloured(picture: Picture) -> list[NDArray[np.uint8]]:
    maps_NHW = pixels_in(picture)[..., 0].astype(np.float64)
    return [shades(map_HW, 0.0, 255.0, "viridis") for map_HW in maps_NHW]


def _activation_maps_page(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Return rows of maps, each enlarged by a whole number, with white gaps."""
    cell = _ACTIVATION_MAPS_TILE + _ACTIVATION_MAPS_GAP
    page_HWC = np.full(
        (len(rows) * cell + _ACTIVATION_MAPS_GAP, _ACTIVATION_MAPS_COLUMNS * cell + _ACTIVATION_MAPS_GAP, 3),
        255,
        dtype=np.uint8,
    )
    for row, maps in enumerate(rows):
        for column, map_HWC in enumerate(maps[:_ACTIVATION_MAPS_COLUMNS]):
            large_HWC = _enlarged(map_HWC)
            top, left = row * cell + _ACTIVATION_MAPS_GAP, column * cell + _ACTIVATION_MAPS_GAP
            page_HWC[top : top + large_HWC.shape[0], left : left + large_HWC.shape[1]] = large_HWC
    return page_HWC


def _enlarged(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = max(1, _ACTIVATION_MAPS_TILE // max(image_HWC.shape[:2]))
    return image_HWC.repeat(scale, axis=0).repeat(scale, axis=1)[:_ACTIVATION_MAPS_TILE, :_ACTIVATION_MAPS_TILE]


def _labelled(record: Record, page_HWC: NDArray[np.uint8], names: Sequence[str], pictures: Sequence[Picture]) -> Figure:
    cell = _ACTIVATION_MAPS_TILE + _ACTIVATION_MAPS_GAP
    shown = record.pictures.get(f"{_PREFIX}input")
    above = cell if shown else 0
    height, width = page_HWC.shape[0] + above + _TOP, page_HWC.shape[1] + _NAMES + 10
    figure = blank(width, height)
    figure.figimage(page_HWC, xo=_NAMES, yo=0, origin="upper")
    if shown:
        figure.figimage(
            _enlarged(pixels_in(shown)[0]), xo=_NAMES + _ACTIVATION_MAPS_GAP, yo=page_HWC.shape[0], origin="upper"
        )
        figure.text((_NAMES - 10) / width, 1 - (_TOP + cell / 2) / height, "input", ha="right", va="center")
    for row, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        low, high = picture.limits or (0.0, 0.0)
        text = f"{shortened(name.removeprefix(_PREFIX), _LETTERS)}\n{low:.2g} to {high:.2g}"
        middle = 1 - (_TOP + above + (row + 0.5) * cell) / height
        figure.text((_NAMES - 10) / width, middle, text, ha="right", va="center", fontsize=9)
    figure.suptitle(f"Activation maps of one test image, {record.name}", y=1 - 12 / height, va="top")
    return figure
