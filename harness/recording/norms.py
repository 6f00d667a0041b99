"""The Euclidean norms of tensors: what a record keeps of gradients, updates, weights and states."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def norms(tensors: Iterable[Tensor]) -> list[float]:
    """Return the Euclidean norm of each tensor, of any shape, dtype and device.

    From an accelerator they come with one transfer. Sums run in float64 (float32 on MPS, which has no other).
    """
    tensors = list(tensors)
    devices = {tensor.device for tensor in tensors}  # several: a divided model; an average, whose counter is on the CPU
    wide = torch.float32 if any(device.type == "mps" for device in devices) else torch.float64
    found = torch._foreach_norm([real(tensor, wide) for tensor in tensors], 2, dtype=wide) if tensors else []
    if devices == {torch.device("cpu")}:  # one by one, in a third of the time
        return [norm.item() for norm in found]
    values: dict[int, float] = {}
    for device in devices:
        places = [place for place, tensor in enumerate(tensors) if tensor.device == device]
        values |= zip(places, torch.stack([found[place] for place in places]).tolist(), strict=True)
    return [values[place] for place in range(len(tensors))]


def real(tensor: Tensor, wide: torch.dtype) -> Tensor:
    """Return a dense real tensor of the same norm; integers, and floats of 8 bits, as `wide`."""
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense() if tensor.is_mkldnn else tensor.to_sparse_coo().coalesce().values()
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.is_floating_point() and tensor.element_size() > 1 else tensor.to(wide)
