"""Buffers that begin with infinity or NaN by design (masks, observers): their norms are finite while it stays so."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from harness.recording.norms import norms, real


_HUGE = 1e150
"""A size from which on a number counts as infinite: the square of the lowest float64, which many masks hold, is."""


class ByDesign:
    """Knows which kinds of numbers without a size each buffer began with: negative or positive infinity, NaN."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[int]] = {}
        self._known: Mapping[str, Tensor] = {}  # all of which has begun

    def norms(self, tensors: Mapping[str, Tensor], found: list[float]) -> list[float]:
        """Return the norms that were found of tensors; of a buffer, kinds that it began with count as small numbers.

        A buffer begins when it is first seen to hold anything; whatever becomes infinite or NaN later has such a norm.

        Args:
            tensors: by stream name.
            found: the norm of each, in their order.
        """
        if tensors is self._known and all(map(math.isfinite, found)):
            return found
        values = [*found]
        for place, name in enumerate(tensors):
            if name.startswith("buffer/") and tensors[name].numel():
                values[place] = self._norm(name, tensors[name], values[place])
        if all(tensor.numel() for tensor in tensors.values()):
            self._known = tensors
        return values

    def _norm(self, name: str, buffer: Tensor, norm: float) -> float:
        kinds, finite = (set[int](), norm) if math.isfinite(norm) else _counted(buffer)
        return finite if kinds <= self._kinds.setdefault(name, kinds) else norm


@torch.no_grad()
def _counted(tensor: Tensor) -> tuple[set[int], float]:
    """Return the kinds of numbers without a size in a tensor, and its norm if each counts as the number of its kind."""
    numbers = real(tensor, torch.float64).cpu().double()
    kinds = (numbers < -_HUGE) + 2 * (numbers > _HUGE) + 3 * numbers.isnan()
    [norm] = norms([torch.where(kinds > 0, kinds, numbers)])
    return set(kinds.unique().tolist()) - {0}, norm
