"""Turn tensors into the few numbers that a record keeps: norms, fingerprints, histograms."""

import functools
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
import torch
from torch import Tensor

from harness.errors import NotABatchError, NotANumberError
from harness.record import HISTOGRAM_BINS, Value


__all__ = ["drop_noise", "fingerprint", "histogram", "norms", "numbers", "tensors_in"]

_NOISE = 1e-12
_MOST_COUNTED = 2**20
_NARROWEST = 1e-300
"""Between the limits of a histogram; below it float64 has no room for bins."""


@torch.no_grad()
def norms(tensors: Iterable[Tensor]) -> list[float]:
    """Return the Euclidean norm of each tensor; from an accelerator with one transfer.

    Args:
        tensors: any shapes and dtypes, on one device; sums run in float64 (float32 on MPS, which has no other).
    """
    tensors = list(tensors)
    if not tensors:
        return []
    wide = torch.float32 if tensors[0].device.type == "mps" else torch.float64
    floats = [_real(tensor, wide) for tensor in tensors]
    found = torch._foreach_norm(floats, 2, dtype=wide)
    if tensors[0].device.type == "cpu":  # one by one, in a third of the time
        return [norm.item() for norm in found]
    values: list[float] = torch.stack(found).tolist()
    return values


def _real(tensor: Tensor, wide: torch.dtype) -> Tensor:
    """Return a dense real tensor of the same norm, integers as `wide`."""
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.is_floating_point() else tensor.to(wide)


@torch.no_grad()
def drop_noise(gradients: Iterable[Tensor], largest: float) -> None:
    """Set to zero, in place, what is rounding noise in float64 gradients.

    The gradient of a bias in front of BatchNorm, or of attention's keys, is zero but for rounding. Adam divides by its
    size and makes a step of it, another one on every machine. Measured behind BatchNorm: up to 3e-14 of the largest
    gradient's norm. Entries below 1e-12 of it count as noise.

    Args:
        gradients: float64, any shapes; sparse and complex ones are left alone.
        largest: the largest norm among the gradients of the whole model.
    """
    if math.isfinite(largest):
        for gradient in gradients:
            if not (gradient.is_sparse or gradient.is_complex()):
                gradient.copy_(torch.nn.functional.hardshrink(gradient, _NOISE * largest))


@torch.no_grad()
def histogram(tensor: Tensor) -> tuple[tuple[float, float], tuple[int, ...]] | None:
    """Return limits and counts of the bins of a tensor's elements, or None if there are fewer finite ones than bins.

    The limits are rounded outwards to two digits: short in a diff, and the same on every machine. If all elements are
    alike, the limits are, too, and the first bin holds them.

    Args:
        tensor: any shape and dtype; NaN and infinity are left out, and of more than a million elements, evenly spaced
            ones are counted.
    """
    flat = _real(tensor, tensor.dtype).detach().flatten()
    values = flat[:: 1 + flat.numel() // _MOST_COUNTED].cpu().double().numpy()
    values = values[np.isfinite(values)]
    if values.size < HISTOGRAM_BINS:
        return None
    low, high = _rounded(values.min(), ROUND_FLOOR), _rounded(values.max(), ROUND_CEILING)
    if not math.isfinite(high - low):
        return None
    if high - low < _NARROWEST:  # all alike: ones or zeros, mostly
        return (low, low), (len(values), *[0] * (HISTOGRAM_BINS - 1))
    counts, _ = np.histogram(values, HISTOGRAM_BINS, (low, high))
    return (low, high), tuple(counts.tolist())


def _rounded(value: float, rounding: str) -> float:
    return float(Context(prec=2, rounding=rounding).plus(Decimal(float(value))))


def fingerprint(batch: object) -> tuple[Value, ...]:
    """Return numbers that tell a batch from any other.

    Integers (pixels, labels, indices) are exact on every machine: one SHA-256 prefix. Floats are not: their norm
    and their projection on a fixed pseudo-random direction, which moves when elements change places.

    Raises:
        NotABatchError: there is no tensor or array in it.
    """
    tensors = [tensor.detach() for tensor in tensors_in(batch)]
    tensors = [torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor for tensor in tensors]
    if not tensors:
        raise NotABatchError(found=type(batch).__name__, method="batch")
    if any(tensor.ndim == 0 or tensor.numel() == 0 for tensor in tensors):
        raise NotABatchError(found="an empty tensor or a single number", method="batch")
    exact = [tensor for tensor in tensors if not tensor.is_floating_point()]
    digest = (_digest(exact),) if exact else ()
    return digest + tuple(value for tensor in tensors if tensor.is_floating_point() for value in _project(tensor))


def tensors_in(batch: object) -> Iterator[Tensor]:
    """Yield the tensors of a tensor, an array or nested lists, tuples and mappings of them, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors_in(value)
    elif isinstance(batch, range | list | tuple) and batch and all(isinstance(item, int | float) for item in batch):
        yield torch.tensor(list(batch))
    elif isinstance(batch, list | tuple):
        for value in batch:
            yield from tensors_in(value)
    elif hasattr(batch, "__array__"):
        array = np.array(batch)  # a copy: torch takes neither negative strides nor read-only memory
        if array.dtype.kind in "biufc":
            yield torch.from_numpy(array)


def _digest(tensors: Sequence[Tensor]) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(f"{tuple(tensor.shape)}".encode())
        pixels = tensor.dtype == torch.uint8
        sha.update((tensor if pixels else tensor.long()).cpu().contiguous().numpy().data)
    return sha.hexdigest()[:16]


def _project(tensor: Tensor) -> tuple[float, float]:
    flat = tensor.cpu().double().flatten()
    return float(torch.linalg.vector_norm(flat)), float(flat @ _direction(flat.numel()))


@functools.lru_cache(maxsize=8)
def _direction(size: int) -> Tensor:
    """Numbers in [-1, 1) from Knuth's multiplicative hash (TAOCP vol. 3, 6.4): integers, so exact everywhere."""
    return ((torch.arange(size) * 2654435761) % 2**32).double() / 2**31 - 1


def numbers(name: str, value: object, method: str) -> tuple[tuple[str, float | int], ...]:
    """Return a logged value as (stream, number) pairs: one for a scalar, `name[i]` each for a list.

    Raises:
        NotANumberError: it is neither a number nor a list of numbers.
    """
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        value = torch.as_tensor(value).detach().tolist()
    if isinstance(value, list | tuple):
        return tuple(pair for i, item in enumerate(value) for pair in numbers(f"{name}[{i}]", item, method))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotANumberError(name=name, found=type(value).__name__, method=method)
    return ((name, value),)
