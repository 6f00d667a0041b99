"""Two pictures beside each other, and where they differ."""

import math

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from harness.figures.canvas import GREY, Pixels, own_style, pixels_of, shades


_FONT = ImageFont.load_default(14)


def side_by_side(before: Figure | Image.Image, now: Figure | Image.Image) -> Image.Image:
    """Return a sheet of two pictures and their difference, for people: baseline, now, difference.

    The difference of a pixel is the largest of its three channels. The largest on the sheet is dark violet, whatever
    its size, so that no difference is too small to be seen; equal pixels are white. A part that only one picture has
    differs from white.

    Args:
        before: a figure, or an image: the baseline's.
        now: likewise, of the present record.
    """
    pages = _padded(_pixels(before), _pixels(now))
    difference_HW = np.abs(pages[0].astype(np.int16) - pages[1]).max(axis=2).astype(np.float64)
    largest = int(difference_HW.max())
    share = float((difference_HW > 0).mean())
    words = (
        f"difference: {share:.2%} of the pixels, by up to {largest} of 255 (the darkest)"
        if largest
        else "no difference"
    )
    marked = shades(difference_HW, -0.3 * largest, float(max(1, largest)), "magma_r")  # pale enough is not seen
    marked[difference_HW == 0] = 255
    return _sheet({"baseline": pages[0], "now": pages[1], words: marked})


def _pixels(picture: Figure | Image.Image) -> Pixels:
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    with own_style():
        return pixels_of(picture)


def _padded(*pictures: Pixels) -> list[Pixels]:
    """Return pictures at one size, white at the right and below."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (0, 1))
    pages = [np.full((height, width, 3), 255, dtype=np.uint8) for _ in pictures]
    for page_HWC, pixels_HWC in zip(pages, pictures, strict=True):
        page_HWC[: pixels_HWC.shape[0], : pixels_HWC.shape[1]] = pixels_HWC
    return pages


def _sheet(panels: dict[str, Pixels]) -> Image.Image:
    gap, title = 12, 28
    height, width = next(iter(panels.values())).shape[:2]
    width = max(width, *(math.ceil(_FONT.getlength(words)) for words in panels))
    sheet = Image.new("RGB", (len(panels) * (width + gap) + gap, height + title + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (words, pixels_HWC) in enumerate(panels.items()):
        left = gap + index * (width + gap)
        draw.text((left, title // 4), words, fill="black", font=_FONT)
        sheet.paste(Image.fromarray(pixels_HWC), (left, title))
        draw.rectangle((left - 1, title - 1, left + pixels_HWC.shape[1], title + height), outline=GREY)
    return sheet
