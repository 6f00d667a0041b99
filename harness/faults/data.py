"""Faults in the data that goes into the model. The user's tensors and arrays are as before when the step is done."""

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from harness.faults.base import Fault
from harness.faults.patching import Function
from harness.shipped.batches import batches


class DataFault(Fault, ABC):
    """Overwrites one batch in place, and puts it back when the step is done."""

    once = True
    first_step = 1

    @abstractmethod
    def change(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        """Overwrite a part of a batch; called with each batch while the fault is due."""

    def batch(self, images: object, labels: object) -> None:
        if self.due:
            self.change([*_in_place(images)], [*_in_place(labels)])

    @torch.no_grad()
    def overwrite(self, tensor: Tensor, values: Tensor) -> None:
        """Write other values into a tensor, if it can be written to."""
        if not _equal(tensor, values):
            before = tensor.clone()
            with contextlib.suppress(RuntimeError):  # expanded tensors, and those of inference mode
                tensor.copy_(values)
                self._undo.callback(_put_back, tensor, before, values)
                self.planted = True


class BatchRepeated(DataFault):
    """One batch is that of the step before."""

    reason = "no two batches of one shape reach Recorder.batch as tensors or arrays, one after the other"

    def begin(self) -> None:
        self._former: list[Tensor] = []

    def batch(self, images: object, labels: object) -> None:
        if not self.planted:
            present = [*_in_place(images), *_in_place(labels)]
            clones = [tensor.detach().clone() for tensor in present]
            super().batch(images, labels)
            self._former = clones

    def change(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        present = [*images, *labels]
        if [tensor.shape for tensor in present] == [former.shape for former in self._former]:
            for tensor, former in zip(present, self._former, strict=True):
                self.overwrite(tensor, former.to(tensor))


class LabelSwapped(DataFault):
    """Two labels of one batch change places."""

    reason = "no batch with two different labels reaches Recorder.batch as a tensor or array"

    def change(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        for labels_N in labels[:1]:
            other = next((i for i, label in enumerate(labels_N) if not torch.equal(label, labels_N[0])), 0)
            order = torch.arange(len(labels_N))
            order[0], order[other] = other, 0
            self.overwrite(labels_N, labels_N[order.to(labels_N.device)])


class ImagesChanged(DataFault):
    """The images of one batch are off: floats by 1 %, integers by 1 in one place."""

    reason = "no images that can be changed reach Recorder.batch as a tensor or array"

    def change(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        for tensor in images[:1]:
            self.overwrite(tensor, tensor * 1.01 if tensor.is_floating_point() else _one_less(tensor))


class SecondInputRepeated(DataFault):
    """One batch has the second of two float inputs twice."""

    reason = "no two float inputs of one shape reach Recorder.batch as tensors or arrays"

    def change(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        floats = (tensor for tensor in images if tensor.is_floating_point())
        pairs = (pair for pair in itertools.combinations(floats, 2) if pair[0].shape == pair[1].shape)
        for first, second in itertools.islice(pairs, 1):
            self.overwrite(first, second.to(first, copy=True))  # a copy: both may be views of one trajectory


class LastBatchDropped(Fault):
    """The last batch of each epoch is missing."""

    reason = "no torch.utils.data.DataLoader of known length comes to its end"

    def begin(self) -> None:
        self.swap_method(DataLoader, "__iter__", self._iterate)
        self.swap_functions((batches,), self._batches)

    def _iterate(self, method: Function, loader: Any) -> Iterator[Any]:
        length = 0
        with contextlib.suppress(TypeError, NotImplementedError):
            length = len(loader)
        iterator = method(loader)  # now: it draws a random number
        return self._shortened(iterator, length) if torch.is_grad_enabled() else iterator  # else it is an evaluation's

    def _batches(self, function: Function, *args: Any, **kwargs: Any) -> Iterator[Tensor]:
        parts = [*function(*args, **kwargs)]
        return self._shortened(iter(parts), len(parts))

    def _shortened(self, iterator: Iterator[Any], length: int) -> Iterator[Any]:
        if length < 2:
            yield from iterator
        else:
            yield from itertools.islice(iterator, length - 1)
            self.planted = True


def _in_place(batch: object) -> Iterator[Tensor]:
    """Yield tensors that share memory with those tensors and arrays of a batch that can be written to."""
    if isinstance(batch, Tensor):
        if batch.layout == torch.strided and batch.ndim and batch.numel():
            yield batch.data  # unlike detach(), it does not tell autograd that saved tensors have changed
    elif isinstance(batch, np.ndarray):
        if batch.flags.writeable and batch.ndim and batch.size and batch.dtype.kind in "biufc":
            with contextlib.suppress(TypeError, ValueError):  # a dtype or strides that torch does not have
                yield torch.from_numpy(batch)
    elif isinstance(batch, Mapping | list | tuple):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _in_place(part)


@torch.no_grad()
def _put_back(tensor: Tensor, before: Tensor, values: Tensor) -> None:
    if _equal(tensor, values):  # else the loop has filled it anew
        tensor.copy_(before)


def _equal(one: Tensor, two: Tensor) -> bool:
    return torch.allclose(one, two, rtol=0, atol=0, equal_nan=True)


def _one_less(tensor: Tensor) -> Tensor:
    """Return integers with the largest one less by 1, which keeps token numbers in their range."""
    values = tensor.flatten().to(torch.int64, copy=True)
    if values.min() < values.max():
        values[values.argmax()] -= 1
    return values.view(tensor.shape).to(tensor.dtype)
