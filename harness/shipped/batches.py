"""Which images make up a batch."""

from collections.abc import Iterator

import torch
from torch import Tensor


def batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Return the batches of one epoch in random order, each as the indices of its images.

    The order is drawn at the call, not when the first batch is asked for: one permutation of 0 to count - 1. Each
    batch is int64 of shape (batch_size,); the last one may be smaller.
    """
    return iter(torch.randperm(count, generator=generator).split(batch_size))
