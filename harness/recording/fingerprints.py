"""Fingerprints of what goes into a model: of its samples, which add up, and of their order; exact for integers."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.errors import RecorderError
from harness.record.streams import Value
from harness.recording.parts import held


_Hashes = np.ndarray[Any, np.dtype[np.uint64]]
_FACTORS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
"""Of SplitMix64."""
_CACHED_BYTES = 200_000
"""Of batches that are worked out at once: what is made of them, several times as much, stays in a core's caches."""


Read = list[Tensor] | list[str]
"""Numbers of a batch, or texts where there are none."""


def read(batch: object) -> Read:
    """Return copies of what a batch holds: the loop may write into it.

    Raises:
        RecorderError: it is no tensor, array or number, and no container.
    """
    if type(batch) is Tensor and batch.is_cpu and batch.layout is torch.strided and not batch.is_nested:  # at a glance
        return [batch.detach().clone()]
    dense = [part for tensor in tensors_in(batch) for part in _dense(held(tensor).detach())]
    if dense:
        return [tensor.to("cpu", copy=True) for tensor in dense]
    texts = isinstance(batch, str | bytes) or batch is None
    for foreign in [batch] if texts else _foreign(batch):
        raise RecorderError.not_a_batch(found=type(foreign).__name__, method="batch")
    return [*_texts(batch)]


def fingerprints(batches: Sequence[Read]) -> list[dict[str, Value]]:
    """Return of each of some batches what tells it from any other, by what the names of its streams end in.

    "" is a sum over samples (the first axis of a tensor), so that those of two halves add up to that of the whole;
    "order" tells where each sample stands: one that changed places moves it alone, and labels that were exchanged move
    that of the labels. Integers (pixels, labels, indices) are exact on every machine: hashes of samples, added modulo
    2^64. Floats are not: their squares, and their projection on a fixed pseudo-random direction; beside integers they
    have names of their own. Texts count where there are no numbers: beside those most are paths, which are others on
    every machine.
    """
    exact = [each for batch in batches for each in batch if isinstance(each, Tensor) and not _is_inexact(each)]
    hashes = dict(zip(map(id, exact), _hashes(exact), strict=True))
    return [_told(batch, hashes) for batch in batches]


def _is_inexact(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _told(batch: Read, hashes: Mapping[int, _Hashes]) -> dict[str, Value]:
    texts = [_of_bytes(each.encode()) for each in batch if isinstance(each, str)]
    exact = [hashes[id(each)] for each in batch if id(each) in hashes]
    floats = [each for each in batch if isinstance(each, Tensor) and _is_inexact(each)]
    inexact = _inexact(floats) if floats else {}
    if floats and not exact:
        return inexact
    found = _exact(exact or [np.array(texts, np.uint64)])
    return found | {f"floats {name}".strip(): value for name, value in inexact.items()}


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
    elif is_array(batch):
        yield from _of_array(np.array(batch))  # a copy: torch takes neither negative strides nor read-only memory
    elif isinstance(batch, Sequence) and batch and all(isinstance(item, int | float) for item in batch):
        yield torch.tensor(list(batch))
    else:
        for part in _parts(batch):
            yield from tensors_in(part)


def is_array(batch: object) -> bool:
    """Tell whether something is a tensor, or can be made an array of."""
    return isinstance(batch, Tensor) or hasattr(batch, "__array__") or hasattr(batch, "__array_interface__")  # Pillow's


def fields(batch: Any) -> dict[Any, object]:
    """Return what a mapping, a dataclass or a named tuple holds, by name; nothing of anything else."""
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    batch = batch._asdict() if callable(getattr(batch, "_asdict", None)) else batch
    known = callable(getattr(batch, "keys", None))  # graphs and batches of many libraries are mappings but in name
    return {key: batch[key] for key in batch.keys()} if known else {}  # noqa: SIM118 # likewise


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
    if held := fields(batch):
        return held.values()
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
            # a copy: what NumPy has seen can be resized no more, as observers do with theirs
            bits = tensor.detach().to("cpu", copy=True).resolve_conj().contiguous().reshape(-1).view(torch.uint8)
            sha.update(bits.numpy().data)
    return sha.hexdigest()[:16]


def _exact(hashes: Sequence[_Hashes]) -> dict[str, Value]:
    """Return the sum of the hashes of samples, and one in which each counts by its place."""
    samples = hashes[0] if len(hashes) == 1 else np.concatenate(hashes)
    whole, order = (samples @ _counts(len(samples))).tolist()
    return {"": f"{whole:016x}", "order": f"{order:016x}"}


def _hashes(tensors: Sequence[Tensor]) -> list[_Hashes]:
    """Return of each tensor a number of 64 bits for each sample: of its shape, and its integers.

    Those of samples alike are computed at once, and all are mixed once more at the end: sums of sums would not tell the
    labels 1 and 3 from 2 and 2.
    """
    alike: dict[Any, list[int]] = {}
    for place, tensor in enumerate(tensors):
        alike.setdefault((tensor.dtype, tensor.shape[1:]), []).append(place)
    places = [place for group in alike.values() for place in group]
    sums = [_sums(some) for group in alike.values() for some in _cached([tensors[place] for place in group])]
    mixed = _mixed(np.concatenate(sums)) if sums else np.empty(0, np.uint64)
    ends = [*itertools.accumulate(len(tensors[place]) if tensors[place].ndim else 1 for place in places)]
    found = dict(zip(places, (mixed[start:end] for start, end in itertools.pairwise([0, *ends])), strict=True))
    return [found[place] for place in range(len(tensors))]


def _cached(tensors: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Yield tensors that are alike, as many at once as the caches hold with what is made of them."""
    most = max(1, _CACHED_BYTES // max(1, tensors[0].nbytes))
    yield from (tensors[start : start + most] for start in range(0, len(tensors), most))


def _sums(tensors: Sequence[Tensor]) -> _Hashes:
    """Return of each sample of tensors the sum of its integers, eight pixels as one, each by its place."""
    whole = [tensor if tensor.ndim else tensor[None] for tensor in tensors]
    samples = whole[0] if len(whole) == 1 else torch.cat(whole)
    rows = _rows(samples if samples.dtype == torch.uint8 else samples.long()).numpy()
    if rows.dtype == np.uint8 and rows.shape[1] % 8:
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))
    lanes = rows.view("<u8") * _FACTORS[0]
    lanes ^= lanes >> np.uint64(32)  # a product keeps what its high bits know from the low ones
    sums: _Hashes = lanes @ _odd(lanes.shape[1]) + _of_shape(samples.shape[1:])
    return sums


def _rows(tensor: Tensor) -> Tensor:
    """Return a matrix with a row a sample."""
    samples = len(tensor) if tensor.ndim else 1
    return tensor.reshape(samples, tensor.numel() // max(samples, 1)).contiguous()


@functools.lru_cache(maxsize=16)
def _of_shape(shape: Sequence[int]) -> np.uint64:
    return np.uint64(_of_bytes(f"{tuple(shape)}".encode()))


def _of_bytes(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")


def _mixed(values: _Hashes) -> _Hashes:
    """Return numbers each bit of which depends on all of the given ones': the finalizer of SplitMix64."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * factor
    return values ^ (values >> np.uint64(31))


@functools.lru_cache(maxsize=16)
def _odd(size: int) -> _Hashes:
    """Pseudo-random odd numbers of 64 bits, of integers alone: a product with one loses nothing."""
    return _mixed(np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


@functools.lru_cache(maxsize=16)
def _counts(size: int) -> _Hashes:
    """How much each of some samples counts: in their sum, and by its place."""
    return np.stack([np.ones(size, np.uint64), _odd(size)], axis=1)


def _inexact(tensors: Iterable[Tensor]) -> dict[str, Value]:
    """Return the sum of squares, each weighted by its place in its sample, and a projection by place and sample."""
    real = (torch.view_as_real(each.resolve_conj()) if each.is_complex() else each for each in tensors)
    rows = [_rows(tensor.double()) for tensor in real]
    squares = sum(float((row.square() @ (1 + _direction(row.shape[1]) / 2)).sum()) for row in rows)
    projected = torch.cat([row @ _direction(row.shape[1]) for row in rows])
    return {"": squares, "order": float(projected @ _direction(len(projected)))}


@functools.lru_cache(maxsize=16)
def _direction(size: int) -> Tensor:
    """Pseudo-random numbers in [-1, 1), exact everywhere."""
    return torch.from_numpy((_odd(size) >> np.uint64(11)).astype(np.float64)) / 2**52 - 1
