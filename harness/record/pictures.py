"""What only figures need of a training: pictures, histograms, the confusion matrix, and their text form."""

import base64
import io
import math
import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import msgspec
from msgspec import Meta


PICTURE_IMAGES = 10
"""Images a record keeps of a batch: two rows of five, the article's grid."""
PICTURE_SIDE = 64
"""Largest height and width in pixels of an image that is kept."""
HISTOGRAM_BINS = 32
"""Bins of every histogram."""
_MOST_IMAGES = 64
"""Of one picture: as many filters as a wide first layer has."""
_LARGEST_COUNT = 2**53
"""Above any label and count; NumPy and floats hold it."""
_VP8L_HEADER = struct.Struct("<4sI4s4sIBI")
"""RIFF, size, WEBP, VP8L, size, 0x2f, then width - 1 and height - 1 in 14 bits each (RFC 9649, section 3.4)."""
_Images = Annotated[int, Meta(gt=0, le=_MOST_IMAGES)]
_Pixels = Annotated[int, Meta(gt=0, le=PICTURE_SIDE)]
_Label = Annotated[int, Meta(gt=-_LARGEST_COUNT, lt=_LARGEST_COUNT)]
_Counts = tuple[Annotated[int, Meta(ge=0, lt=_LARGEST_COUNT)], ...]

NO_MISTAKE = "no image of known confidence was taken for another class"
"""Why a record holds no picture of mistakes, where nothing is wrong."""


@dataclass(frozen=True)
class Picture:
    """A few images with their labels, kept so that figures need only the record."""

    pixels: bytes = field(repr=False)  # uint8, of shape (count, height, width, 3)
    shape: tuple[int, int, int]  # count, height, width
    labels: tuple[int, ...] = ()  # class of each image
    predicted: tuple[int, ...] = ()  # class that the model gave each image; empty for images that were not classified
    confidence: tuple[float, ...] = ()  # probability, 0 to 1, that the model gave that class; empty if not known
    limits: tuple[float, float] | None = None  # what 0 and 255 stand for in pictures of float numbers, and of no other


@dataclass(frozen=True)
class Histogram:
    """How the elements of a tensor were distributed at one or a few steps.

    The limits are the lower end of the first and the upper end of the last bin, a pair a step, equal where all elements
    are; the counts those in each of `HISTOGRAM_BINS` equal bins, a tuple a step. NaN and infinity are in none.
    """

    steps: tuple[int, ...]  # 0-based, ascending
    limits: tuple[tuple[float, float], ...]
    counts: tuple[tuple[int, ...], ...]


def picture_content(picture: Picture) -> dict[str, Any]:
    """Return a picture as JSON values, its images below each other as one lossless WebP."""
    from PIL import Image

    count, height, width = picture.shape
    packed = io.BytesIO()
    page = Image.frombytes("RGB", (width, count * height), picture.pixels)
    # a third smaller than zlib on photographs; more effort would take fifty times as long, for 1 to 7 % of the bytes
    page.save(packed, "WEBP", lossless=True, quality=80, method=4)
    known = {"labels": picture.labels, "predicted": picture.predicted, "confidence": picture.confidence}
    return {
        "shape": list(picture.shape),
        **{name: list(values) for name, values in known.items() if values},
        **({"limits": list(picture.limits)} if picture.limits else {}),
        "webp": base64.b85encode(packed.getvalue()).decode(),
    }


class _PictureText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture's text form, checked before anything is unpacked: the file's own claim is no limit."""

    shape: tuple[_Images, _Pixels, _Pixels]
    webp: str
    labels: tuple[_Label, ...] = ()
    predicted: tuple[_Label, ...] = ()
    confidence: tuple[float, ...] = ()
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if {len(self.labels), len(self.predicted), len(self.confidence)} - {0, self.shape[0]}:
            raise ValueError("labels of other images")
        if not all(map(math.isfinite, (*self.confidence, *(self.limits or ())))):
            raise ValueError("a number that is not finite")
        if self.limits and not self.limits[0] < self.limits[1]:
            raise ValueError("limits")


def picture(entry: Any) -> Picture:
    """Return the picture of JSON values; a ValueError, as any of a wrong value, is reported as a RecordError."""
    text = msgspec.convert(entry, _PictureText)
    fields = msgspec.structs.asdict(text)
    return Picture(_from_webp(fields.pop("webp"), text.shape), **fields)


def _from_webp(text: str, shape: tuple[int, int, int]) -> bytes:
    from PIL import Image

    packed, (count, height, width) = base64.b85decode(text), shape
    *parts, bits = _VP8L_HEADER.unpack_from(packed.ljust(_VP8L_HEADER.size))
    sides = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    # checked here: a decoder allocates what the file asks for before it decodes
    if parts[2:4] != [b"WEBP", b"VP8L"] or sides != (width, count * height):
        raise ValueError("a picture's size")
    try:
        return Image.open(io.BytesIO(packed), formats=("WEBP",)).convert("RGB").tobytes()
    except OSError as error:
        raise ValueError("a picture's pixels") from error


def histogram_rows(histogram: Histogram) -> list[list[float]]:
    """Return a histogram as JSON values, a row a step: the step, the limits, the counts."""
    points = zip(histogram.steps, histogram.limits, histogram.counts, strict=True)
    return [[step, *limits, *counts] for step, limits, counts in points]


def histogram(rows: Any) -> Histogram:
    """Return the histogram of JSON values; ValueError if it is none."""
    points = [(step, (low, high), tuple(counts)) for step, low, high, *counts in rows]
    for _, (low, high), counts in points:
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError("a histogram's limits")
        if len(counts) != HISTOGRAM_BINS or not any(counts):
            raise ValueError("a histogram's length")
    steps, limits, counts_of_steps = zip(*points, strict=True)
    if not all(before < after for before, after in pairwise(steps)):
        raise ValueError("a histogram's steps")
    ends = tuple((float(low), float(high)) for low, high in limits)
    return Histogram(msgspec.convert(steps, _Counts), ends, msgspec.convert(counts_of_steps, tuple[_Counts, ...]))


def confusion(rows: Any) -> tuple[tuple[int, ...], ...]:
    """Return the confusion matrix of JSON values; ValueError if it is not square, or holds anything but counts."""
    matrix = msgspec.convert(rows, tuple[_Counts, ...])
    if any(len(row) != len(matrix) for row in matrix):
        raise ValueError("the confusion matrix")
    return matrix
