"""What only figures need of a training: pictures, histograms, the confusion matrix, and their text form."""

import base64
import io
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


PICTURE_IMAGES = 10
"""Images a record keeps of a batch: two rows of five, the article's grid."""

PICTURE_SIDE = 64
"""Largest height and width in pixels of an image that is kept."""

HISTOGRAM_BINS = 32
"""Bins of every histogram."""


@dataclass(frozen=True)
class Picture:
    """A few images with their labels, kept so that figures need only the record.

    Args:
        pixels: uint8 bytes of shape (count, height, width, 3).
        shape: (count, height, width).
        labels: class of each image.
        predicted: class that the model gave each image; empty for images that were not classified.
        confidence: probability, 0 to 1, that the model gave that class; empty where it is not known.
        limits: the numbers that 0 and 255 stand for, of pictures of weights and activations.
    """

    pixels: bytes
    shape: tuple[int, int, int]
    labels: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()
    confidence: tuple[float, ...] = ()
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Histogram:
    """How the elements of a tensor were distributed at one or a few steps.

    Args:
        steps: 0-based, ascending.
        limits: lower end of the first and upper end of the last bin, a pair a step; equal where all elements are.
        counts: elements in each of `HISTOGRAM_BINS` equal bins, a tuple a step; NaN and infinity are in none.
    """

    steps: tuple[int, ...]
    limits: tuple[tuple[float, float], ...]
    counts: tuple[tuple[int, ...], ...]


_MOST_IMAGES = 64
"""Of one picture: as many filters as a wide first layer has."""

_LARGEST_COUNT = 2**53
"""Above any label and count; NumPy and floats hold it."""

_VP8L_HEADER = struct.Struct("<4sI4s4sIBI")
"""RIFF, size, WEBP, VP8L, size, 0x2f, then width - 1 and height - 1 in 14 bits each (RFC 9649, section 3.4)."""


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


def picture(entry: Mapping[str, Any]) -> Picture:
    """Return the picture of JSON values.

    Raises:
        ValueError: it is none; like the other errors of a wrong value, it is reported as a RecordError.
    """
    count, height, width = shape = tuple(entry["shape"])
    fits = 0 < count <= _MOST_IMAGES and 0 < height <= PICTURE_SIDE and 0 < width <= PICTURE_SIDE
    if not (fits and all(map(_is_whole, shape))):
        raise ValueError("a picture's shape")  # before anything is unpacked: the file's own claim is no limit
    pixels = _from_webp(entry["webp"], shape) if "webp" in entry else _from_zlib(entry["pixels"], shape)
    labels, predicted = (tuple(entry.get(name, ())) for name in ("labels", "predicted"))
    confidence = tuple(entry.get("confidence", ()))
    if {len(labels), len(predicted), len(confidence)} - {0, count}:
        raise ValueError("a picture's labels")
    if not (all(map(_is_whole, labels + predicted)) and all(map(_is_finite, confidence))):
        raise ValueError("a picture's labels")
    limits = _limits(entry["limits"]) if "limits" in entry else None
    return Picture(pixels, (count, height, width), labels, predicted, confidence, limits)


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


def _from_zlib(text: str, shape: tuple[int, int, int]) -> bytes:
    """Unpack the pixels of a text of format 1."""
    size = math.prod(shape) * 3
    pixels = zlib.decompressobj().decompress(base64.b85decode(text), size + 1)  # no more, however small it was packed
    if len(pixels) != size:
        raise ValueError("a picture's size")
    return pixels


def histogram_rows(histogram: Histogram) -> list[list[float]]:
    """Return a histogram as JSON values, a row a step: the step, the limits, the counts."""
    points = zip(histogram.steps, histogram.limits, histogram.counts, strict=True)
    return [[step, *limits, *counts] for step, limits, counts in points]


def histogram(rows: Any) -> Histogram:
    """Return the histogram of JSON values.

    Raises:
        ValueError: it is none.
    """
    points = ((step, _ordered((low, high)), tuple(counts)) for step, low, high, *counts in rows)
    steps, limits, counts = zip(*points, strict=True)
    if any(len(row) != HISTOGRAM_BINS or not any(row) for row in counts):
        raise ValueError("a histogram's length")
    if not all(map(_is_count, [*steps, *(count for row in counts for count in row)])):
        raise ValueError("a histogram's counts")
    if not all(before < after for before, after in pairwise(steps)):
        raise ValueError("a histogram's steps")
    return Histogram(steps, limits, counts)


def confusion(rows: Any) -> tuple[tuple[int, ...], ...]:
    """Return the confusion matrix of JSON values.

    Raises:
        ValueError: it is not square, or holds something else than counts.
    """
    matrix = tuple(map(tuple, rows))
    if any(len(row) != len(matrix) for row in matrix) or not all(_is_count(count) for row in matrix for count in row):
        raise ValueError("the confusion matrix")
    return matrix


def _limits(pair: Any) -> tuple[float, float]:
    low, high = _ordered(pair)
    if low == high:
        raise ValueError("limits")
    return low, high


def _ordered(pair: Any) -> tuple[float, float]:
    low, high = pair
    if not (_is_finite(low) and _is_finite(high) and low <= high):
        raise ValueError("limits")
    return float(low), float(high)


def _is_count(value: object) -> bool:
    return _is_whole(value) and value >= 0  # type: ignore[operator] # whole numbers compare


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_COUNT


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
