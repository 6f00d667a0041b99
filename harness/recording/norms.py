"""The Euclidean norms of tensors: what a record keeps of gradients, updates, weights and states."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def norms(tensors: Iterable[Tensor], *, before: Sequence[Tensor] = ()) -> list[float]:
    """Return the Euclidean norm of each tensor, of any shape, dtype and device.

    From an accelerator they come with one transfer. Sums run in float64 (float32 on MPS, which has no other).

    Args:
        tensors: what is measured.
        before: norms that were taken already where the tensors are; they come first.
    """
    if torch.is_grad_enabled():
        with torch.no_grad():
            return norms(tensors, before=before)
    tensors, wide = list(tensors), torch.float64
    odd = [place for place, each in enumerate(tensors) if each.dtype is not wide or each.layout is not torch.strided]
    wide = _wide(tensors[place] for place in odd)
    counters = dict[int, float]()
    for place in odd:
        if _is_counter(tensors[place]):
            counters[place] = float(abs(tensors[place].item()))
        else:
            tensors[place] = real(tensors[place], wide)
    several = [each for place, each in enumerate(tensors) if place not in counters] if counters else tensors
    found = read([*before, *(torch._foreach_norm(several, 2, dtype=wide) if several else ())])
    for place, number in counters.items():
        found.insert(len(before) + place, number)
    return found


def measured(tensors: list[Tensor]) -> Sequence[Tensor]:
    """Return the norm of each of some dense real tensors, as `norms` does, but where they are."""
    return torch._foreach_norm(tensors, 2, dtype=_wide(tensors))


def _wide(tensors: Iterable[Tensor]) -> torch.dtype:
    return torch.float32 if any(tensor.is_mps for tensor in tensors) else torch.float64


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


def _is_counter(tensor: Tensor) -> bool:
    """Tell whether a tensor is a number of batches, say, on the CPU."""
    return tensor.dtype is torch.int64 and not tensor.ndim and tensor.is_cpu


def real(tensor: Tensor, wide: torch.dtype) -> Tensor:
    """Return a dense real tensor of the same norm; integers, and floats of 8 bits, as `wide`."""
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense() if tensor.is_mkldnn else tensor.to_sparse_coo().coalesce().values()
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.is_floating_point() and tensor.element_size() > 1 else tensor.to(wide)
