"""The Euclidean norms of tensors: what a record keeps of gradients, updates, weights and states."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def norms(tensors: Iterable[Tensor]) -> list[float]:
    """Return the Euclidean norm of each tensor, of any shape and dtype, all on one device.

    From an accelerator they come with one transfer. Sums run in float64 (float32 on MPS, which has no other).
    """
    tensors = list(tensors)
    if not tensors:
        return []
    wide = torch.float32 if tensors[0].device.type == "mps" else torch.float64
    floats = [real(tensor, wide) for tensor in tensors]
    found = torch._foreach_norm(floats, 2, dtype=wide)
    if tensors[0].device.type == "cpu":  # one by one, in a third of the time
        return [norm.item() for norm in found]
    values: list[float] = torch.stack(found).tolist()
    return values


def real(tensor: Tensor, wide: torch.dtype) -> Tensor:
    """Return a dense real tensor of the same norm, integers as `wide`."""
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.is_floating_point() else tensor.to(wide)
