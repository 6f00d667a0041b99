"""Faults in the mode that a model runs in: planted only where the mode changes what the model computes."""

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from harness.faults.base import Fault
from harness.faults.patching import Function
from harness.recording.calls import unfollowed
from harness.recording.fingerprints import tensors_in
from harness.recording.hooks import around_forward


class _ModeFault(Fault, ABC):
    """Tries the first forward pass of a model in both modes, without a trace, to see whether they differ."""

    def begin(self) -> None:
        self._tried: dict[int, bool] = {}
        self._trying = False

    @abstractmethod
    def other_mode(self, model: nn.Module) -> contextlib.AbstractContextManager[object]:
        """Return a context in which a model runs in the mode that it is not in now."""

    def matters(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Tell whether the mode changes what a model computes."""
        if self._trying:  # a watched part of the model that is tried
            return False
        if id(model) not in self._tried and not any(map(is_lazy, model.parameters())):
            self._trying = True
            try:
                as_it_is = _trial(model, args, kwargs)
                with self.other_mode(model):
                    self._tried[id(model)] = _differ(as_it_is, _trial(model, args, kwargs))
            finally:
                self._trying = False
        return self._tried.get(id(model), False)


class EvalForgotten(_ModeFault):
    """model.eval() does nothing."""

    reason = "no watched model computes otherwise in evaluation mode"

    def begin(self) -> None:
        super().begin()
        self._forgotten: set[nn.Module] = set()
        self.swap_method(nn.Module, "train", self._train)  # eval() calls train(False)

    def meet_model(self, model: nn.Module) -> None:
        self._stack.callback(around_forward(model, self.guarded(self._before)))

    def _train(self, method: Function, module: nn.Module, mode: bool = True) -> Any:
        if mode:
            self._forgotten.difference_update(module.modules())
            return method(module, mode)
        self._forgotten.update(module.modules())
        return module

    def _before(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if model in self._forgotten and self.matters(model, args, kwargs):
            self.planted = True

    @contextlib.contextmanager
    def other_mode(self, model: nn.Module) -> Iterator[None]:
        with contextlib.ExitStack() as modes:
            for module in model.modules():
                modes.callback(setattr, module, "training", module.training)
                module.training = False
            yield


class AutocastOn(_ModeFault):
    """The model runs under autocast to bfloat16."""

    reason = "autocast changes nothing in the watched models: it leaves float64 alone, or is on already"

    def begin(self) -> None:
        super().begin()
        self._entered: list[contextlib.ExitStack] = []
        self._stack.callback(self._leave_all)
        # the compiler cannot follow hooks into autocast
        self._stack.enter_context(torch.compiler.set_stance("force_eager"))

    def meet_model(self, model: nn.Module) -> None:
        self._stack.callback(around_forward(model, self.guarded(self._before), self.guarded(self._after)))

    def _before(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered = contextlib.ExitStack()
        if self.matters(model, args, kwargs):
            self.planted = True
            entered.enter_context(self.other_mode(model))
        self._entered.append(entered)

    def _after(self) -> None:
        if self._entered:  # a forward pass may raise before it gets to us
            self._entered.pop().close()

    def _leave_all(self) -> None:
        while self._entered:
            self._after()

    def other_mode(self, model: nn.Module) -> contextlib.AbstractContextManager[object]:
        device = next((parameter.device.type for parameter in model.parameters()), "cpu")
        return torch.autocast(device, torch.bfloat16)


@torch.no_grad()
def _trial(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor] | None:
    """Return what a model computes, None if it raises; random states and buffers are as before afterwards."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with unfollowed(), torch.random.fork_rng(range(torch.cuda.device_count())), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what gradients would be needed for
            return [tensor.clone() for tensor in tensors_in(model.forward(*args, **kwargs))]
    except Exception:  # whatever the model raises, it does so again when it is not on trial
        return None
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)


def _differ(as_it_is: list[Tensor] | None, otherwise: list[Tensor] | None) -> bool:
    if as_it_is is None or otherwise is None:
        return as_it_is is not None  # a mode that the model does not survive
    pairs = zip(as_it_is, otherwise, strict=False)
    return len(as_it_is) != len(otherwise) or any(a.dtype != b.dtype or not torch.equal(a, b) for a, b in pairs)
