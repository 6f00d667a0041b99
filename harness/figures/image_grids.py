"""Images in rows, exact to the pixel: batches, predictions, mistakes, filters, activation maps."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageOps

from harness.errors import NotRecordedError, number
from harness.figures.by_class import class_name
from harness.figures.canvas import BLUE, ORANGE, Pixels, Values, in_both_forms, shades
from harness.figures.digits import LEVEL_DIGITS, checksums, weights, with_digits, with_exact_digits
from harness.figures.series import IMAGES, KEEP_PREDICTIONS, told_apart
from harness.figures.sheets import HEAD, LETTER, MARGIN, sheet
from harness.record.pictures import NO_MISTAKE, Picture
from harness.record.record import Record


_GAP = 4  # white pixels between filters, and between maps
_COLUMNS = 5  # images a row: the article's grid is 2 x 5
_LINE, _SPACE = 14, 10  # pixels of a line of text, and between things
_NARROWEST = 400  # pixels, so that a title has room
_NO_COLOURS: Mapping[str, str] = {}


@in_both_forms
def batch_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten images of the first batch in rows of five, enlarged three times; labelled with their classes.

    Raises:
        NotRecordedError: the record holds no images.
    """
    picture = _picture(record, "batch", "batch_grid", f"call recorder.batch(images, labels) {IMAGES}")
    images = _images(picture, labelled)
    captions = [class_name(record, label) for label in picture.labels] or [f"image {i}" for i in range(len(images))]
    tiles_NHWC = _framed(images, ["white"] * len(images))
    if labelled:
        return _captioned(tiles_NHWC, captions, "The first images of the first batch", record, picture)
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
    images = [image if ok else _with_corner(image) for image, ok in zip(_images(picture, labelled), right, strict=True)]
    captions = [
        f"{class_name(record, true)}\n" + ("right" if ok else f"taken for\n{class_name(record, predicted)}")
        for (true, predicted), ok in zip(pairs, right, strict=True)
    ]
    tiles_NHWC = _framed(images, [BLUE if ok else ORANGE for ok in right])
    if labelled:
        key = {"right": BLUE, "wrong: this frame, and the corner filled": ORANGE}
        return _captioned(tiles_NHWC, captions, "Test images and what they are taken for", record, picture, key)
    return with_digits(record, _tiled(tiles_NHWC, _COLUMNS), _sums(picture), LEVEL_DIGITS)


def _with_corner(image: Image.Image) -> Image.Image:
    """Fill the upper right corner: colour alone does not reach everyone."""
    side = image.width // 4
    ImageDraw.Draw(image).rectangle((image.width - side, 0, image.width, side), fill=ORANGE)
    return image


@in_both_forms
def mistakes(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to three wrongly classified test images, those of highest confidence, the surest first.

    The labelled form says true and predicted class and confidence.

    Raises:
        NotRecordedError: the record holds no mistakes: no confidences were given, or every image was right.
    """
    remedy = KEEP_PREDICTIONS.replace("predicted)", "predicted, confidence=...)") + f", {IMAGES}"
    if record.undrawn.get("mistakes") == NO_MISTAKE:
        remedy = "there is nothing to mend; leave this figure out as long as the model makes no mistake"
    picture = _picture(record, "mistakes", "mistakes", remedy)
    images = _images(picture, labelled)
    captions = [
        f"{class_name(record, true)}\ntaken for\n{class_name(record, predicted)}\n{confidence:.1%} sure"
        for true, predicted, confidence in zip(picture.labels, picture.predicted, picture.confidence, strict=True)
    ]
    tiles_NHWC = _framed(images, [ORANGE] * len(images))
    if labelled:
        return _captioned(tiles_NHWC, captions, "The mistakes that the model is surest of", record, picture)
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


def _images(picture: Picture, labelled: bool) -> list[Image.Image]:
    """Return the images of a picture, each pixel enlarged to a 3x3 square, or for people as large as there is room."""
    scale = max(1, min(3, 128 // max(picture.shape[1:]))) if labelled else 3
    return [ImageOps.scale(Image.fromarray(image), scale, Image.Resampling.NEAREST) for image in _pixels_in(picture)]


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


def _captioned(
    tiles_NHWC: Pixels,
    captions: Sequence[str],
    title: str,
    record: Record,
    picture: Picture,
    colours: Mapping[str, str] = _NO_COLOURS,
) -> Figure:
    """Return images in rows for people: a title, a caption of a few lines above each, and keys of the colours below.

    Args:
        tiles_NHWC: the images.
        captions: one each.
        title: of the sheet.
        record: whose they are.
        picture: that the images are from; if it has limits, they are told.
        colours: meaning to colour of the frames.
    """
    count, height, width, _ = tiles_NHWC.shape
    columns = min(_COLUMNS, count)
    above = _LINE * (1 + max(caption.count("\n") for caption in captions)) + _SPACE
    page_width = max(_NARROWEST, columns * max(width + 2 * _SPACE, 18 * LETTER))
    cell_width, cell_height = page_width // columns, height + above + _SPACE
    key, scale = 2 * _LINE * bool(colours), 2 * _LINE * bool(picture.limits)
    page_height = HEAD + -(-count // columns) * cell_height + key + scale
    figure = sheet(page_width, page_height, title, record)
    for index, (tile_HWC, caption) in enumerate(zip(tiles_NHWC, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = column * cell_width + (cell_width - width) // 2, HEAD + row * cell_height + above
        figure.figimage(tile_HWC, xo=left, yo=page_height - top - height, origin="upper")
        place = (left + width / 2) / page_width, 1 - (top - 4) / page_height
        figure.text(*place, caption, ha="center", va="bottom")
    if colours:
        handles = [Patch(color=colour, label=label) for label, colour in colours.items()]
        figure.legend(handles=handles, loc="lower left", ncols=2)
    if picture.limits:
        words = "in the numbers of the images black is {:.4g}, white {:.4g}".format(*picture.limits)
        figure.text(MARGIN / page_width, (key + _SPACE) / page_height, words, va="bottom")
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

    About 516 pixels wide; labelled with the scale.

    Raises:
        NotRecordedError: the first layer sees no images of 3 or 1 channels.
    """
    remedy = "watch a model whose first weight is that of a convolution over images with 3 or 1 channels"
    picture = _picture(record, "filters", "filters", remedy)
    page_HWC = _tiled(_enlarged(_pixels_in(picture), 60), 8, _GAP)
    if not labelled:
        return with_digits(record, page_HWC, _sums(picture), LEVEL_DIGITS)
    count, rows, columns = picture.shape
    height, width = page_HWC.shape[:2]
    below = 2 * _LINE + _SPACE
    title = f"The first layer after training: {number(count, 'filter')} of {rows}x{columns}"
    figure = sheet(max(_NARROWEST, width + 2 * _SPACE), HEAD + height + below, title, record)
    figure.figimage(page_HWC, xo=_SPACE, yo=below, origin="upper")
    largest = picture.limits[1] if picture.limits else 0.0
    grey = not np.ptp(_pixels_in(picture), axis=-1).any()
    of = "of the one channel" if grey else "for red, green and blue as colours"
    words = f"weights {of}: mid-grey is 0, black {-largest:.3g}, white {largest:.3g}"
    figure.text(MARGIN / width, _SPACE / (HEAD + height + below), words, va="bottom")
    return figure


_PREFIX = "activation/"
_SIDE, _MAPS = 96, 6  # pixels of a map, and maps a row


@in_both_forms
def activation_maps(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the first channels of up to six convolutions for one test image of the last evaluation, a row a layer.

    Each row goes from its smallest (dark) to its largest number (light). Convolutions are shown as they come, before
    any activation function. 604 pixels wide; labelled with the image itself and the ends of the scales.

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
    """Put the names to the left of the maps, and the image itself and what is drawn above them."""
    names = told_apart([name.removeprefix(_PREFIX) for name in pictures], 24)
    ends = [picture.limits or (0.0, 0.0) for picture in pictures.values()]
    texts = [f"{name}\n{low:.2g} to {high:.2g}" for name, (low, high) in zip(names, ends, strict=True)]
    letters = max(len(line) for text in texts for line in text.splitlines())
    cell, left = _SIDE + _GAP, max(90, LETTER * letters + MARGIN + _SPACE)
    shown = record.pictures.get(f"{_PREFIX}input")
    above = cell if shown else 0
    height, width = page_HWC.shape[0] + above + HEAD, page_HWC.shape[1] + left + _SPACE
    figure = sheet(width, height, "What convolutions make of one test image", record)
    figure.figimage(page_HWC, xo=left, yo=0, origin="upper")
    if shown:
        figure.figimage(_squares(_pixels_in(shown), 1)[0], xo=left + _GAP, yo=page_HWC.shape[0], origin="upper")
        words = "Below, a row a convolution: its first channels, before any activation function,\n"
        words += "from the smallest number of the row (dark violet) to its largest (yellow)."
        figure.text((left + 2 * _GAP + cell) / width, 1 - (HEAD + cell / 2) / height, words, va="center")
        texts = ["the image", *texts]
    for row, text in enumerate(texts):
        middle = 1 - (HEAD + (row + 0.5) * cell) / height
        figure.text((left - _SPACE) / width, middle, text, ha="right", va="center")
    return figure
