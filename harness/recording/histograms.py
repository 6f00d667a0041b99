"""Histograms of weights and gradients at the first and the last step of a training."""

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.record.pictures import HISTOGRAM_BINS, Histogram
from harness.recording.norms import real
from harness.recording.parts import whole


_MOST_COUNTED = 2**20
_NARROWEST = 1e-300  # between the limits of a histogram; below it float64 has no room for bins
_ALIKE = 12  # digits of the largest element: what differs in later ones is rounding


@torch.no_grad()
def histogram(tensor: Tensor) -> tuple[tuple[float, float], tuple[int, ...]] | None:
    """Return limits and counts of the bins of a tensor's elements, or None if there are fewer finite ones than bins.

    None, too, of a tensor that is divided over ranks: its limits are known to none of them.

    The limits are rounded outwards to two digits: short in a diff, and the same on every machine. If all elements are
    alike to twelve digits, the limits are equal, and the first bin holds them. Of more than a million elements, evenly
    spaced ones count.
    """
    if (known := whole(tensor)) is None:
        return None
    flat = real(known, known.dtype).detach().flatten()
    chosen = flat[:: 1 + flat.numel() // _MOST_COUNTED].cpu().double()
    values = chosen.clone().numpy()  # what NumPy has seen can be resized no more
    values = values[np.isfinite(values)]
    if values.size < HISTOGRAM_BINS:
        return None
    return _binned(values)


def _binned(values: NDArray[np.float64]) -> tuple[tuple[float, float], tuple[int, ...]] | None:
    place = _ALIKE - 1 - Decimal(float(abs(values).max())).adjusted()
    least, most = (round(float(end), place) + 0.0 for end in (values.min(), values.max()))  # no negative zero
    low, high = _rounded(least, ROUND_FLOOR), _rounded(most, ROUND_CEILING)
    if not math.isfinite(high - low):
        return None
    if least == most or high - low < _NARROWEST:  # all alike: ones or zeros, mostly
        return (least, least), (len(values), *[0] * (HISTOGRAM_BINS - 1))
    nudged = values + (high - low) * 10.0**-_ALIKE  # what rounding moves off the edge of a bin stays in it
    counts, _ = np.histogram(nudged.clip(low, high), HISTOGRAM_BINS, (low, high))
    return (low, high), tuple(counts.tolist())


def _rounded(value: float, rounding: str) -> float:
    return float(Context(prec=2, rounding=rounding).plus(Decimal(value)))


class Distributions:
    """Collects histograms where a step may be the first, and once more at the end."""

    def __init__(self) -> None:
        self._points: dict[str, list[tuple[int, tuple[float, float], tuple[int, ...]]]] = {}

    def add_first(self, kind: str, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take the histograms of tensors that were not seen yet."""
        self.add_last(kind, {name: tensors[name] for name in tensors if f"{kind}/{name}" not in self._points}, step)

    def add_last(self, kind: str, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take the histograms of tensors at the end of a training."""
        for name, tensor in tensors.items():
            points = self._points.setdefault(f"{kind}/{name}", [])  # seen, even if it has too few elements
            if all(known < step for known, _, _ in points) and (taken := histogram(tensor)):
                points.append((step, *taken))

    def histograms(self) -> dict[str, Histogram]:
        """Return all that was taken."""
        return {name: Histogram(*zip(*points, strict=True)) for name, points in self._points.items() if points}
