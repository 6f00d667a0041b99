"""Which images make up a batch."""

from collections.abc import Iterator

import torch
from torch import Tensor


__all__ = ["batches"]


def batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Return the batches of one epoch in random order, each as the indices of its images.

    The order is drawn at the call, not when the first batch is asked for.

    Args:
        count: Images in the set; every index from 0 to count - 1 comes exactly once.
        batch_size: Images in a batch; the last one may be smaller.
        generator: CPU generator; one permutation is drawn from it.

    Returns:
        Tensors indices_N, int64, shape (batch_size,) or less.
    """
    return iter(torch.randperm(count, generator=generator).split(batch_size))
