"""The Euclidean norms of tensors: what a record keeps of gradients, updates, weights and states."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


@torch.no_grad()
def norms(tensors: Iterable[Tensor]) -> list[float]:
    """Return the Euclidean norm of each tensor, of any shape, dtype and device.

    From an accelerator they come with one transfer. Sums run in float64 (float32 on MPS, which has no other).
    """
    tensors = list(tensors)
    if all(tensor.dtype is torch.float64 and tensor.layout is torch.strided for tensor in tensors):  # at a glance
        return read(torch._foreach_norm(tensors, 2, dtype=torch.float64)) if tensors else []
    wide = torch.float32 if any(tensor.is_mps for tensor in tensors) else torch.float64
    plain = [_plain(tensor, wide) for tensor in tensors]
    several = [each for each in plain if isinstance(each, Tensor)]
    found = iter(read(torch._foreach_norm(several, 2, dtype=wide)) if several else ())
    return [next(found) if isinstance(each, Tensor) else each for each in plain]


def read(scalars: Sequence[Tensor]) -> list[float]:
    """Return the numbers in tensors of one element, with one transfer from each accelerator."""
    devices = {scalar.device for scalar in scalars}  # several: a divided model; an average, whose counter is on the CPU
    if devices == {torch.device("cpu")}:  # one by one, in a third of the time
        return [scalar.item() for scalar in scalars]
    values: dict[int, float] = {}
    for device in devices:
        places = [place for place, scalar in enumerate(scalars) if scalar.device == device]
        values |= zip(places, torch.stack([scalars[place] for place in places]).tolist(), strict=True)
    return [values[place] for place in range(len(scalars))]


def _plain(tensor: Tensor, wide: torch.dtype) -> Tensor | float:
    """Return `real`, of most tensors at a glance; of a counter on the CPU, its number."""
    if tensor.dtype is wide and tensor.layout is torch.strided:
        return tensor
    if tensor.dtype is torch.int64 and not tensor.ndim and tensor.is_cpu:
        return float(abs(tensor.item()))
    return real(tensor, wide)


def real(tensor: Tensor, wide: torch.dtype) -> Tensor:
    """Return a dense real tensor of the same norm; integers, and floats of 8 bits, as `wide`."""
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense() if tensor.is_mkldnn else tensor.to_sparse_coo().coalesce().values()
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.is_floating_point() and tensor.element_size() > 1 else tensor.to(wide)
