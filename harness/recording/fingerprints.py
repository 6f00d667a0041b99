"""Fingerprints of what goes into a model: exact for integers, norm and projection for floats."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.errors import RecorderError
from harness.record.streams import Value


def fingerprint(batch: object) -> tuple[Value, ...]:
    """Return numbers that tell a batch from any other.

    Integers (pixels, labels, indices) are exact on every machine: one SHA-256 prefix. Floats are not: their norm
    and their projection on a fixed pseudo-random direction, which moves when elements change places. Texts count where
    there are no numbers: beside those most are paths, which are others on every machine.

    Raises:
        RecorderError: it is no tensor, array or number, and no container.
    """
    tensors = [part for tensor in tensors_in(batch) for part in _dense(tensor.detach())]
    tensors = [torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor for tensor in tensors]
    if not tensors:
        texts = isinstance(batch, str | bytes) or batch is None
        for foreign in [batch] if texts else _foreign(batch):
            raise RecorderError.not_a_batch(found=type(foreign).__name__, method="batch")
        return (hashlib.sha256(json.dumps([*_texts(batch)]).encode()).hexdigest()[:16],)
    exact = [tensor for tensor in tensors if not tensor.is_floating_point()]
    digest = (_digest(exact),) if exact else ()
    return digest + tuple(value for tensor in tensors if tensor.is_floating_point() for value in _project(tensor))


def _dense(tensor: Tensor) -> Iterator[Tensor]:
    """Yield dense tensors that tell what a tensor of any layout holds."""
    if tensor.is_nested:
        yield from tensor.unbind()
    elif tensor.layout is torch.strided:
        yield tensor
    elif tensor.is_mkldnn:
        yield tensor.to_dense()
    else:
        entries = tensor.to_sparse_coo().coalesce()
        yield from (torch.tensor(entries.shape), entries.indices(), entries.values())


def tensors_in(batch: object) -> Iterator[Tensor]:
    """Yield the tensors of a tensor, an array, a number or nested sequences, mappings and dataclasses, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, int | float | complex):
        yield torch.tensor(batch)
    elif hasattr(batch, "__array__") or hasattr(batch, "__array_interface__"):  # the latter of Pillow's images
        yield from _of_array(np.array(batch))  # a copy: torch takes neither negative strides nor read-only memory
    elif isinstance(batch, Sequence) and batch and all(isinstance(item, int | float) for item in batch):
        yield torch.tensor(list(batch))
    else:
        for part in _parts(batch):
            yield from tensors_in(part)


def _of_array(array: "np.ndarray[Any, Any]") -> Iterator[Tensor]:
    """Yield the numbers of an array, times among them; of one that holds objects, those of each."""
    if array.dtype.kind == "O" and array.ndim:
        for item in array.reshape(-1).tolist():
            yield from tensors_in(item)
    wide = {"m": "i8", "M": "i8", "f": "f8", "c": "c16"}.get(array.dtype.kind, "")
    if array.dtype.kind in "mM" or (wide and array.dtype.itemsize > np.dtype(wide).itemsize):  # torch has none such
        array = array.astype(wide)
    if array.dtype.kind in "biufc":
        yield torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _parts(batch: Any) -> Iterable[object]:
    """Return what a container holds; texts and other things hold nothing."""
    if dataclasses.is_dataclass(batch):
        batch = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    if callable(getattr(batch, "keys", None)):  # graphs and batches of many libraries are mappings but in name
        return [batch[key] for key in batch.keys()]  # noqa: SIM118 # likewise
    return batch if isinstance(batch, Collection) and not isinstance(batch, Set | str | bytes) else ()


def _foreign(batch: Any) -> Iterator[object]:
    """Yield what a batch holds and nobody knows to compare: files, say, or sets, whose order is another each time."""
    known = batch is None or isinstance(batch, str | bytes) or dataclasses.is_dataclass(batch)
    holds = known or isinstance(batch, Collection) or callable(getattr(batch, "keys", None))
    if not holds or (isinstance(batch, Set) and batch):
        yield batch
    for part in _parts(batch):
        yield from _foreign(part)


def _texts(batch: object) -> Iterator[str]:
    if isinstance(batch, str):
        yield batch
    for part in _parts(batch):
        yield from _texts(part)


def exact_digest(tensors: Iterable[Tensor]) -> str:
    """Return a SHA-256 prefix of the bits of tensors, of any dtype; sparse ones are left out."""
    sha = hashlib.sha256()
    for tensor in tensors:
        if tensor.layout is torch.strided:
            bits = _copied(tensor.detach()).resolve_conj().contiguous().reshape(-1).view(torch.uint8)
            sha.update(bits.numpy().data)
    return sha.hexdigest()[:16]


def _digest(tensors: Sequence[Tensor]) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(f"{tuple(tensor.shape)}".encode())
        pixels = tensor.dtype == torch.uint8
        sha.update(_copied(tensor if pixels else tensor.long()).contiguous().numpy().data)
    return sha.hexdigest()[:16]


def _copied(tensor: Tensor) -> Tensor:
    """Return a copy in the CPU's memory: what NumPy has seen can be resized no more, as observers do with theirs."""
    return tensor.to("cpu", copy=True)


def _project(tensor: Tensor) -> tuple[float, float]:
    flat = tensor.cpu().double().flatten()
    return float(torch.linalg.vector_norm(flat)), float(flat @ _direction(flat.numel()))


@functools.lru_cache(maxsize=8)
def _direction(size: int) -> Tensor:
    """Numbers in [-1, 1) from Knuth's multiplicative hash (TAOCP vol. 3, 6.4): integers, so exact everywhere."""
    return ((torch.arange(size) * 2654435761) % 2**32).double() / 2**31 - 1
