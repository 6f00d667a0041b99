"""Histograms of weights and gradients at the first and the last step of a training."""

from collections.abc import Mapping

from torch import Tensor

from harness.measure import histogram
from harness.record import Histogram


__all__ = ["Distributions"]

_Point = tuple[int, tuple[float, float], tuple[int, ...]]


class Distributions:
    """Collects histograms where a step may be the first, and once more at the end."""

    def __init__(self) -> None:
        self._points: dict[str, list[_Point]] = {}

    def add_first(self, kind: str, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take the histograms of tensors that were not seen yet."""
        for name in tensors:
            if f"{kind}/{name}" not in self._points:
                self._add(f"{kind}/{name}", tensors[name], step)

    def add_last(self, kind: str, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take the histograms of tensors at the end of a training."""
        for name, tensor in tensors.items():
            if all(known < step for known, _, _ in self._points.get(f"{kind}/{name}", ())):
                self._add(f"{kind}/{name}", tensor, step)

    def _add(self, name: str, tensor: Tensor, step: int) -> None:
        points = self._points.setdefault(name, [])  # seen, even if it has too few elements for a histogram
        if taken := histogram(tensor):
            points.append((step, *taken))

    def histograms(self) -> dict[str, Histogram]:
        """Return all that was taken."""
        return {name: Histogram(*zip(*points, strict=True)) for name, points in self._points.items() if points}
