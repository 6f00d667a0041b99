"""Two pictures beside each other, and where they differ."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.figures.canvas import own_style, pixels_of, shades


_GAP = 12

_TITLE = 28


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
    words = f"difference: {share:.2%} of the pixels, by up to {largest} of 255" if largest else "no difference"
    marked = shades(difference_HW, -0.3 * largest, float(max(1, largest)), "magma_r")  # pale enough is not seen
    marked[difference_HW == 0] = 255
    return _sheet([("baseline", pages[0]), ("now", pages[1]), (words, marked)])


def _pixels(picture: Figure | Image.Image) -> NDArray[np.uint8]:
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    with own_style():
        return pixels_of(picture)


def _padded(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return both at one size, white at the right and below."""
    height, width = (max(sides) for sides in zip(one.shape[:2], other.shape[:2], strict=True))
    pages = [np.full((height, width, 3), 255, dtype=np.uint8) for _ in range(2)]
    for page_HWC, pixels_HWC in zip(pages, (one, other), strict=True):
        page_HWC[: pixels_HWC.shape[0], : pixels_HWC.shape[1]] = pixels_HWC
    return pages


def _sheet(panels: list[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    height, width = panels[0][1].shape[:2]
    sheet = Image.new("RGB", (len(panels) * (width + _GAP) + _GAP, height + _TITLE + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (words, pixels_HWC) in enumerate(panels):
        left = _GAP + index * (width + _GAP)
        draw.text((left, _TITLE // 4), words, fill="black", font_size=14)
        sheet.paste(Image.fromarray(pixels_HWC), (left, _TITLE))
        draw.rectangle((left - 1, _TITLE - 1, left + width, _TITLE + height), outline="#888888")
    return sheet
