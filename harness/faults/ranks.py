"""Faults of distribution: what ranks have to share out, hand on, or do alike. None can be planted in one process."""

import copy
import functools
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DistributedSampler

from harness.faults.base import Fault
from harness.faults.calls import ClippingDropped
from harness.faults.patching import Function
from harness.faults.tensors import StartFault, StateLost
from harness.recording.parts import held, is_distributed, part_of
from harness.recording.process_group import has_group


def _rank() -> int:
    return distributed.get_rank() if has_group() else 0


def _size() -> int:
    return distributed.get_world_size() if has_group() else 1


def _of_accelerate(name: str) -> list[type]:
    """Return a class of Accelerate, if that is loaded."""
    found = getattr(sys.modules.get("accelerate.data_loader"), name, None)
    return [found] if found else []


class ShardRepeated(Fault):
    """Every rank is given the samples of the first."""

    reason = "no sampler of torch or Accelerate shares out samples"

    def begin(self) -> None:
        self.swap_method(DistributedSampler, "__iter__", functools.partial(self._iterate, "rank"))

    def meet_model(self, model: nn.Module) -> None:
        for sampler in _of_accelerate("BatchSamplerShard") if len(self._models) == 1 else ():
            self.swap_method(sampler, "__iter__", functools.partial(self._iterate, "process_index"))

    def _iterate(self, share: str, method: Function, sampler: Any) -> Iterator[Any]:
        self.planted = self.planted or getattr(sampler, share) > 0
        first = copy.copy(sampler)
        setattr(first, share, 0)
        chosen: Iterator[Any] = method(first)
        return chosen


class EpochNotSet(Fault):
    """The samples are shuffled in each epoch as in the first."""

    reason = "no sampler of torch or Accelerate that shuffles is told of another epoch"

    def begin(self) -> None:
        self.swap_method(DistributedSampler, "set_epoch", self._set_epoch)

    def meet_model(self, model: nn.Module) -> None:
        for sampler in _of_accelerate("SeedableRandomSampler") if len(self._models) == 1 else ():
            self.swap_method(sampler, "set_epoch", self._set_epoch)

    def _set_epoch(self, method: Function, sampler: Any, epoch: int) -> None:
        matters = getattr(sampler, "shuffle", True) and getattr(sampler, "num_replicas", 2) > 1
        self.planted = self.planted or (matters and epoch != sampler.epoch)


class SeedsApart(StartFault):
    """Each rank starts with other weights, as drawn by a seed of its own and handed out by nobody."""

    reason = "no weight starts with numbers that differ among each other"

    def change(self, weights: Sequence[Tensor]) -> bool:
        drawn = [own for own in map(held, weights) if own.numel() and own.min() < own.max()] if _rank() else []
        generator = torch.Generator().manual_seed(_rank())
        for own in drawn:
            own.mul_(torch.rand(own.shape, generator=generator).to(own) + 0.5)
        return bool(drawn)


class GradientsSummed(Fault):
    """Gradients are the sum over ranks, not the mean."""

    reason = "no loss is differentiated by backward()"

    def begin(self) -> None:
        self.swap_method(Tensor, "backward", self._backward)

    def _backward(self, method: Function, loss: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.planted = self.planted or _size() > 1
        return method(loss * _size() if self.planted else loss, *args, **kwargs)


class BuffersNotBroadcast(Fault):
    """Each rank keeps its own buffers: nobody hands those of the first out."""

    reason = "no DistributedDataParallel broadcasts buffers that training moves"

    def begin(self) -> None:
        self._first: dict[int, Sequence[Tensor]] = {}
        self.swap_method(DistributedDataParallel, "will_sync_module_buffers", self._will_sync)

    def _will_sync(self, method: Function, wrapper: Any) -> bool:
        if not method(wrapper) or _size() == 1:
            return bool(method(wrapper))
        buffers = [buffer for buffer in wrapper.modules_buffers if buffer.is_floating_point()]
        first = self._first.setdefault(id(wrapper), [buffer.clone() for buffer in buffers])
        self.planted = self.planted or any(not torch.equal(*pair) for pair in zip(buffers, first, strict=True))
        return False


class _WrapperFault(Fault, ABC):
    """Changes what `DistributedDataParallel` does in passes with gradients."""

    def begin(self) -> None:
        self.swap_method(DistributedDataParallel, "forward", self._forward)

    def _forward(self, method: Function, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() and _size() > 1:
            return self.call(method, wrapper, *args, **kwargs)
        return method(wrapper, *args, **kwargs)

    @abstractmethod
    def call(self, method: Function, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
        """Run in place of a pass."""


class WrapperBypassed(_WrapperFault):
    """The raw module is called for its wrapper: nobody averages gradients."""

    reason = "no DistributedDataParallel is called"

    def call(self, method: Function, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
        self.planted = True
        return self.theirs(wrapper.module)(*args, **kwargs)


class ReducerHooksLost(_WrapperFault):
    """The wrapper has lost its hooks on the weights, as after a move to another device and back."""

    reason = "no DistributedDataParallel has weights to train"

    def begin(self) -> None:
        super().begin()
        self._moved: set[int] = set()

    def call(self, method: Function, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
        if id(wrapper) not in self._moved:
            self._moved.add(id(wrapper))
            for weight in wrapper.module.parameters():
                _move(weight)
                self.planted = self.planted or weight.requires_grad
        return method(wrapper, *args, **kwargs)


def _move(weight: nn.Parameter) -> None:
    """Move a weight away and back: what accumulates its gradient is made anew, without the hooks on it."""
    here = weight.data
    weight.data = torch.empty(0, dtype=torch.float16 if here.dtype != torch.float16 else torch.float32)
    weight.data = here


class SyncSkipped(_WrapperFault):
    """The last micro-batch of each step runs under no_sync, as those before it do."""

    reason = "no DistributedDataParallel accumulates gradients under no_sync"

    def begin(self) -> None:
        super().begin()
        self._accumulating: set[int] = set()

    def call(self, method: Function, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
        syncs = wrapper.require_backward_grad_sync
        if not syncs:
            self._accumulating.add(id(wrapper))
        if not syncs or id(wrapper) not in self._accumulating:
            return method(wrapper, *args, **kwargs)
        self.planted = True
        with wrapper.no_sync():
            return method(wrapper, *args, **kwargs)

    def after_step(self, optimizer: Optimizer) -> None:
        self._accumulating.clear()


class ClippedLocally(Fault):
    """Gradients that are divided over ranks are clipped by the norm of the part that a rank holds."""

    reason = "no call of torch.nn.utils.clip_grad_norm_ clips gradients that are divided over ranks"

    def begin(self) -> None:
        self.swap_functions((nn.utils.clip_grad_norm_,), self._clip)

    @torch.no_grad()
    def _clip(
        self, clip: Function, parameters: Any, max_norm: float, norm_type: float = 2.0, *args: Any, **kwargs: Any
    ) -> Any:
        parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not any(map(part_of, gradients)):
            return clip(parameters, max_norm, norm_type, *args, **kwargs)
        norm = clip(parameters, math.inf, norm_type, *args, **kwargs)  # which clips nothing
        own = [*map(held, gradients)]
        norms = nn.utils.get_total_norm(own, norm_type), norm.full_tensor() if is_distributed(norm) else norm
        share, right = (min(1.0, max_norm / (float(each) + 1e-6)) for each in norms)
        for gradient in own:
            gradient.mul_(share)
        self.planted = self.planted or share != right
        return norm


class ClippedOnOneRank(ClippingDropped):
    """Only the first rank clips its gradients."""

    reason = "no call of torch.nn.utils.clip_grad_norm_ or clip_grad_value_ changes a gradient of a second rank"

    def _clip(self, clip: Function, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._clip(clip, parameters, *args, **kwargs) if _rank() else clip(parameters, *args, **kwargs)


class StateLostOnRanks(StateLost):
    """The optimizer's state is lost once on all ranks but the first, as by a resume that one alone takes part in."""

    reason = "the optimizer keeps no state on a second rank"

    def before_step(self, optimizer: Optimizer) -> None:
        if _rank():
            super().before_step(optimizer)
