"""Faults in weights, gradients and optimizer state."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from harness.faults.base import Fault, weights
from harness.recording.fingerprints import tensors_in
from harness.recording.hooks import on_forward
from harness.recording.named_tensors import state_of
from harness.recording.parts import held


class StartFault(Fault, ABC):
    """Changes weights as the training begins, so that no checkpoint undoes it."""

    once = True

    def meet_model(self, model: nn.Module) -> None:
        self._stack.callback(on_forward(model, self.guarded(lambda _: self._plant())))

    def batch(self, images: object, labels: object) -> None:
        self._plant()

    def before_step(self, optimizer: Optimizer) -> None:
        self._plant()

    @torch.no_grad()
    def _plant(self) -> None:
        if self._steps or not self.due:
            return
        candidates = (p for optimizer in self._optimizers for p in weights(optimizer))
        self.planted = self.change([p for p in candidates if not is_lazy(p) and p.is_floating_point()])

    @abstractmethod
    def change(self, weights: Sequence[Tensor]) -> bool:
        """Change some of the weights that are trained; tell whether any could be."""


class WeightScaled(StartFault):
    """One weight tensor starts 1 % larger."""

    reason = "no watched model starts with a weight other than 0"

    def change(self, weights: Sequence[Tensor]) -> bool:
        parameter = next((weight for weight in weights if weight.any()), None)
        if parameter is not None:
            parameter.mul_(1.01)
        return parameter is not None


class GradientZeroed(Fault):
    """The largest entry of one gradient is 0 in one step."""

    reason = "no watched weight has a gradient other than 0"
    once = True
    first_step = 1

    @torch.no_grad()
    def gradients(self, optimizer: Optimizer) -> None:
        found = (gradient for gradient in _gradients(optimizer) if self.due and gradient.any())
        if (gradient := next(found, None)) is not None:
            flat = gradient.flatten()
            flat[flat.abs().argmax()] = 0
            gradient.copy_(flat.view_as(gradient))
            self.planted = True


class GradientsRounded(Fault):
    """Gradients are rounded to bfloat16, as in a compressed all-reduce."""

    reason = "all gradients are bfloat16 numbers already"

    def gradients(self, optimizer: Optimizer) -> None:
        self.planted = _round(_gradients(optimizer), torch.bfloat16) or self.planted


class WeightsRounded(Fault):
    """Weights are rounded to float16 after each step, as in a model that is kept in half precision."""

    reason = "all weights are float16 numbers already"

    def after_step(self, optimizer: Optimizer) -> None:
        self.planted = _round(weights(optimizer), torch.float16) or self.planted


class TensorFrozen(Fault):
    """One weight tensor is left out of the optimizer: it is not updated."""

    reason = "no weight is ever updated"

    def begin(self) -> None:
        self._frozen: Tensor | None = None
        self._before: list[tuple[Tensor, Tensor]] = []

    def before_step(self, optimizer: Optimizer) -> None:
        frozen = [p for p in weights(optimizer) if self._frozen is None or p is self._frozen]
        self._before = [(parameter, parameter.detach().clone()) for parameter in frozen]

    @torch.no_grad()
    def after_step(self, optimizer: Optimizer) -> None:
        for parameter, before in [pair for pair in self._before if not torch.equal(*pair)][:1]:
            parameter.copy_(before)
            self._frozen = parameter
            self.planted = True


class StateLost(Fault):
    """The optimizer's state is lost once, as by a resume that forgets it."""

    reason = "the optimizer keeps no state"
    once = True
    first_step = 1

    def begin(self) -> None:
        self._fresh: dict[int, dict[Tensor, Any]] = {}

    def meet_optimizer(self, optimizer: Optimizer) -> None:
        super().meet_optimizer(optimizer)
        # some optimizers fill their state when they are made, and fail without it
        self._fresh[id(optimizer)] = {p: copy.deepcopy(state) for p, state in state_of(optimizer).items()}

    def before_step(self, optimizer: Optimizer) -> None:
        fresh, present = self._fresh[id(optimizer)], state_of(optimizer)
        if self.due and not _equal(fresh, present):
            present.clear()
            present.update(fresh)
            self.planted = True


class SteppedTwice(Fault):
    """The optimizer takes a step too many, once."""

    reason = "no optimizer steps"
    once = True
    first_step = 1

    def meet_optimizer(self, optimizer: Optimizer) -> None:
        super().meet_optimizer(optimizer)
        self._stack.callback(optimizer.register_step_post_hook(self.guarded(self._again)).remove)

    def _again(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._steps > self.first_step and self.due:  # the step that has just ended is counted
            self.planted = True
            self.theirs(optimizer.step)(*args[1:], **kwargs)  # the first argument is the optimizer itself


def _gradients(optimizer: Optimizer) -> list[Tensor]:
    gradients = (parameter.grad for parameter in weights(optimizer))
    return [gradient for gradient in gradients if gradient is not None and not gradient.is_sparse]


@torch.no_grad()
def _round(tensors: list[Tensor], dtype: torch.dtype) -> bool:
    """Round real tensors in place; tell whether any changed."""
    real = [(tensor, tensor.to(dtype).to(tensor.dtype)) for tensor in tensors if tensor.is_floating_point()]
    changed = [(tensor, rounded) for tensor, rounded in real if not torch.equal(tensor, rounded)]
    for tensor, rounded in changed:
        tensor.copy_(rounded)
    return bool(changed)


def _equal(state: Mapping[Tensor, Any], other: Mapping[Tensor, Any]) -> bool:
    one, two = ([*map(held, tensors_in(list(part.values())))] for part in (state, other))
    return len(one) == len(two) and all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, two, strict=True))
