"""What a record is made of: streams, pictures, histograms, a calibration."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


__all__ = [
    "HISTOGRAM_BINS",
    "PICTURE_IMAGES",
    "PICTURE_SIDE",
    "STAGES",
    "Calibration",
    "Histogram",
    "Picture",
    "Stream",
    "Value",
]

STAGES = (
    "structure",
    "data",
    "init",
    "schedule",
    "forward",
    "backward",
    "update",
    "state",
    "evaluation",
)
"""Causal order. The schedule comes first in a step: the rate that the step will use is settled before it begins."""

Value = float | int | str
"""A number, or the fingerprint of something that is not one."""

PICTURE_IMAGES = 10
"""Images a record keeps of a batch: two rows of five, the article's grid."""
PICTURE_SIDE = 64
"""Largest height and width in pixels of an image that is kept."""

HISTOGRAM_BINS = 32
"""Bins of every histogram."""


@dataclass(frozen=True)
class Stream:
    """One quantity over a run.

    Args:
        stage: where in a step it is made; one of `STAGES`.
        steps: step of each value, 0-based, ascending; a step may occur several times (micro-batches) or never.
        values: one a step in `steps`; floats are exact.
    """

    stage: str
    steps: tuple[int, ...]
    values: tuple[Value, ...]

    def non_finite(self) -> Iterator[tuple[int, float]]:
        """Yield step and value of each NaN or infinity."""
        for step, value in zip(self.steps, self.values, strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                yield step, value


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


@dataclass(frozen=True)
class Calibration:
    """How far benign variants of a low-precision training part from it, measured when it became a baseline.

    Args:
        states: SHA-256 of the states that the variants, and later trainings, are put back on.
        steps: steps that begin with a stored state, ascending from 0.
        margin: thresholds over what the variants showed.
        variants: what was varied, in words.
        largest: kind of streams to the largest relative deviation of any variant, by steps since the last state.
    """

    states: str
    steps: tuple[int, ...]
    margin: float
    variants: tuple[str, ...]
    largest: Mapping[str, tuple[float, ...]]
