"""Images in rows, exact to the pixel: batches, predictions, mistakes, filters, activation maps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from harness.errors import NotRecordedError
from harness.figures.by_class import class_name
from harness.figures.canvas import BLUE, ORANGE, Pixels, Values, blank, in_both_forms, shades
from harness.figures.digits import LEVEL_DIGITS, checksums, weights, with_digits, with_exact_digits
from harness.figures.series import IMAGES, KEEP_PREDICTIONS, shortened
from harness.record.pictures import Picture
from harness.record.record import Record


_GAP = 4  # white pixels between filters, and between maps
_COLUMNS = 5  # images a row: the article's grid is 2 x 5
_LINE, _SPACE, _TITLE = 14, 10, 40  # pixels of a line of a caption, between things, and of the title


@in_both_forms
def batch_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten images of the first batch in rows of five, enlarged three times; labelled with their classes.

    Raises:
        NotRecordedError: the record holds no images.
    """
    picture = _picture(record, "batch", "batch_grid", f"call recorder.batch(images, labels) {IMAGES}")
    images = _images(picture)
    captions = [class_name(record, label) for label in picture.labels] or [f"image {i}" for i in range(len(images))]
    tiles_NHWC = _framed(images, ["white"] * len(images))
    if labelled:
        return _captioned(tiles_NHWC, captions, f"First batch, {record.name}")
    return with_exact_digits(_tiled(tiles_NHWC, _COLUMNS), _sums(picture), LEVEL_DIGITS)


@in_both_forms
def prediction_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten test images in rows of five, right and wrong marked by colour and, for the wrong, a corner.

    The labelled form says true and predicted class.

    Raises:
        NotRecordedError: the record holds no predictions.
    """
    picture = _picture(record, "predictions", "prediction_grid", f"{KEEP_PREDICTIONS}, {IMAGES}")
    pairs = list(zip(picture.labels, picture.predicted, strict=True))
    right = [true == predicted for true, predicted in pairs]
    images = [image if ok else _with_corner(image) for image, ok in zip(_images(picture), right, strict=True)]
    captions = [
        f"{class_name(record, true)}\n" + ("right" if ok else f"taken for\n{class_name(record, predicted)}")
        for (true, predicted), ok in zip(pairs, right, strict=True)
    ]
    tiles_NHWC = _framed(images, [BLUE if ok else ORANGE for ok in right])
    if labelled:
        return _captioned(tiles_NHWC, captions, f"Predictions, {record.name}")
    return with_digits(record, _tiled(tiles_NHWC, _COLUMNS), _sums(picture), LEVEL_DIGITS)


def _with_corner(image: Image.Image) -> Image.Image:
    """Fill the upper right corner: colour alone does not reach everyone."""
    side = image.width // 4
    ImageDraw.Draw(image).rectangle((image.width - side, 0, image.width, side), fill=ORANGE)
    return image


@in_both_forms
def mistakes(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the wrongly classified test images of highest confidence, the surest first, in rows of five.

    The labelled form says true and predicted class and confidence.

    Raises:
        NotRecordedError: the record holds no mistakes: no confidences were given, or every image was right.
    """
    remedy = KEEP_PREDICTIONS.replace("predicted)", "predicted, confidence=...)")
    picture = _picture(record, "mistakes", "mistakes", f"{remedy}, {IMAGES}")
    images = _images(picture)
    captions = [
        f"{class_name(record, true)}\ntaken for\n{class_name(record, predicted)}\n{confidence:.1%} sure"
        for true, predicted, confidence in zip(picture.labels, picture.predicted, picture.confidence, strict=True)
    ]
    tiles_NHWC = _framed(images, [ORANGE] * len(images))
    if labelled:
        return _captioned(tiles_NHWC, captions, f"Most-confident mistakes, {record.name}")
    return with_digits(record, _tiled(tiles_NHWC, _COLUMNS), _sums(picture), LEVEL_DIGITS)


def _picture(record: Record, name: str, figure: str, remedy: str) -> Picture:
    """Return a record's picture; if it has none of this name, say what to do."""
    if name not in record.pictures:
        wanted = {"batch": "batch images", "predictions": "prediction images"}.get(name, name)
        reason = record.undrawn.get(name, "")
        raise NotRecordedError.missing(wanted, name=record.name, figure=figure, remedy=remedy, reason=reason)
    return record.pictures[name]


def _pixels_in(picture: Picture) -> Pixels:
    """Return the images of a picture, shape (count, height, width, 3)."""
    return np.frombuffer(picture.pixels, dtype=np.uint8).reshape(*picture.shape, 3)


def _images(picture: Picture) -> list[Image.Image]:
    """Return the images of a picture, each pixel enlarged to a 3x3 square."""
    return [ImageOps.scale(Image.fromarray(image), 3, Image.Resampling.NEAREST) for image in _pixels_in(picture)]


def _sums(picture: Picture) -> Values:
    """Return a checksum of each image: of its levels, its classes, and of what black and white stand for."""
    levels_NP = _pixels_in(picture).reshape(len(_pixels_in(picture)), -1) / 255
    of_levels_P = weights(levels_NP.shape[1])
    given = [row for row in (picture.labels, picture.predicted, picture.confidence) if row]
    ends = [[end] * len(levels_NP) for end in picture.limits or ()]
    return checksums(np.stack([levels_NP @ of_levels_P / of_levels_P.sum(), *given, *ends]))


def _framed(images: Sequence[Image.Image], colours: Sequence[str]) -> Pixels:
    """Return images in frames of a colour each."""
    framed = [ImageOps.expand(image, 6, fill=colour) for image, colour in zip(images, colours, strict=True)]
    return np.stack([np.asarray(image) for image in framed])


def _captioned(tiles_NHWC: Pixels, captions: Sequence[str], title: str) -> Figure:
    """Return images five a row for people, with a title, and a caption of up to a few lines above each."""
    count, height, width, _ = tiles_NHWC.shape
    above = _LINE * (1 + max(caption.count("\n") for caption in captions)) + _SPACE
    cell_width, cell_height = width + 2 * _SPACE, height + above + _SPACE
    page_width, page_height = _COLUMNS * cell_width, _TITLE + -(-count // _COLUMNS) * cell_height
    figure = blank(page_width, page_height)
    figure.suptitle(title, y=1 - _SPACE / page_height, va="top")
    for index, (tile_HWC, caption) in enumerate(zip(tiles_NHWC, captions, strict=True)):
        row, column = divmod(index, _COLUMNS)
        left, top = column * cell_width + _SPACE, _TITLE + row * cell_height + above
        figure.figimage(tile_HWC, xo=left, yo=page_height - top - height, origin="upper")
        place = (left + width / 2) / page_width, 1 - (top - 4) / page_height
        figure.text(*place, caption, ha="center", va="bottom", fontsize=8)
    return figure


def _tiled(tiles_NHWC: Pixels, columns: int, gap: int = 0) -> Pixels:
    """Return images in rows, shape (height, width, 3), with white gaps between and around them."""
    count, height, width, _ = tiles_NHWC.shape
    rows, height, width = -(-count // columns), height + gap, width + gap
    cells_NHWC = np.full((rows * columns, height, width, 3), 255, dtype=np.uint8)
    cells_NHWC[:count, gap:, gap:] = tiles_NHWC
    page = cells_NHWC.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    page_HWC = page.reshape(rows * height, columns * width, 3)
    return np.pad(page_HWC, ((0, gap), (0, gap), (0, 0)), constant_values=255)


def _enlarged(images_NHWC: Pixels, side: int) -> Pixels:
    """Return images enlarged by the largest whole number with which they fit into squares, if there is one."""
    scale = max(1, side // max(images_NHWC.shape[1:3]))
    return images_NHWC.repeat(scale, axis=1).repeat(scale, axis=2)


@in_both_forms
def filters(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to 64 filters of the first layer after the training, eight a row; mid-grey is zero, alike in all.

    About 516 pixels wide; labelled, with the scale, 640.

    Raises:
        NotRecordedError: the first layer sees no images of 3 or 1 channels.
    """
    remedy = "watch a model whose first weight is that of a convolution over images with 3 or 1 channels"
    picture = _picture(record, "filters", "filters", remedy)
    page_HWC = _tiled(_enlarged(_pixels_in(picture), 60), 8, _GAP)
    if not labelled:
        return with_digits(record, page_HWC, _sums(picture), LEVEL_DIGITS)
    height, width = page_HWC.shape[:2]
    figure = blank(640, height + 100)
    figure.figimage(page_HWC, xo=(640 - width) // 2, yo=40, origin="upper")
    count, rows, columns = picture.shape
    largest = picture.limits[1] if picture.limits else 0.0
    title = f"First layer after the training, {record.name}: {count} filters of {rows}x{columns}"
    figure.suptitle(title, y=1 - 12 / (height + 100), va="top")
    figure.text(0.5, 0.02, f"mid-grey is 0, black -{largest:.3g}, white {largest:.3g}", ha="center", va="bottom")
    return figure


_PREFIX = "activation/"
_SIDE, _MAPS = 96, 6  # pixels of a map, and maps a row


@in_both_forms
def activation_maps(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the first channels of up to six convolutions for one test image of the last evaluation, a row a layer.

    Each row goes from its smallest (dark) to its largest number (light). Convolutions are shown as they come, before
    any activation function. 604 pixels wide; labelled, with the image itself and the ends of the scales, 804.

    Raises:
        NotRecordedError: the record holds no activation maps.
    """
    names = [name for name in record.pictures if name.startswith(_PREFIX) and name != f"{_PREFIX}input"]
    remedy = "evaluate the watched model in the block (model.eval()), and watch one with nn.Conv2d, uncompiled"
    pictures = [_picture(record, name, "activation_maps", remedy) for name in names or ["activation maps"]]
    rows = [_squares(shades(_pixels_in(p)[..., 0].astype(np.float64), 0.0, 255.0), _MAPS) for p in pictures]
    page_HWC = _tiled(np.concatenate(rows), _MAPS, _GAP)
    if labelled:
        return _labelled(record, page_HWC, dict(zip(names, pictures, strict=True)))
    return with_digits(record, page_HWC, np.concatenate([_sums(picture) for picture in pictures]), LEVEL_DIGITS)


def _squares(images_NHWC: Pixels, count: int) -> Pixels:
    """Return as many images in white squares of one size; what is larger is cut off."""
    squares_NHWC = np.full((count, _SIDE, _SIDE, 3), 255, dtype=np.uint8)
    large_NHWC = _enlarged(images_NHWC, _SIDE)[:count, :_SIDE, :_SIDE]
    squares_NHWC[: len(large_NHWC), : large_NHWC.shape[1], : large_NHWC.shape[2]] = large_NHWC
    return squares_NHWC


def _labelled(record: Record, page_HWC: Pixels, pictures: dict[str, Picture]) -> Figure:
    """Put the names to the left of the maps, and the title and the image itself above them."""
    cell, left, title = _SIDE + _GAP, 190, 40
    shown = record.pictures.get(f"{_PREFIX}input")
    above = cell if shown else 0
    height, width = page_HWC.shape[0] + above + title, page_HWC.shape[1] + left + 10
    figure = blank(width, height)
    figure.figimage(page_HWC, xo=left, yo=0, origin="upper")
    if shown:
        figure.figimage(_squares(_pixels_in(shown), 1)[0], xo=left + _GAP, yo=page_HWC.shape[0], origin="upper")
        figure.text((left - 10) / width, 1 - (title + cell / 2) / height, "input", ha="right", va="center")
    for row, (name, picture) in enumerate(pictures.items()):
        low, high = picture.limits or (0.0, 0.0)
        text = f"{shortened(name.removeprefix(_PREFIX), 24)}\n{low:.2g} to {high:.2g}"
        middle = 1 - (title + above + (row + 0.5) * cell) / height
        figure.text((left - 10) / width, middle, text, ha="right", va="center", fontsize=9)
    figure.suptitle(f"Activation maps of one test image, {record.name}", y=1 - 12 / height, va="top")
    return figure
