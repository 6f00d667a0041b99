"""Faults in what a loop or a model asks torch to do: other arguments, or a call that is missing."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from harness.faults.base import Fault, weights
from harness.faults.patching import Function
from harness.recording.parts import held
from harness.shipped.models import Dropout


class ArgumentFault(Fault, ABC):
    """Calls torch functions with other arguments."""

    functions: ClassVar[tuple[Function, ...]]

    def begin(self) -> None:
        self.swap_functions(self.functions, self._call)

    @abstractmethod
    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call that the fault changes, with their new values."""

    def _call(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        call = bound(function, args, kwargs)
        change = self.changed(call.arguments)
        call.arguments.update(change)
        result = function(*call.args, **call.kwargs)
        self.planted = self.planted or bool(change)  # not before: what a changed call raises is no fault of theirs
        return result


def bound(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
    """Return a call's arguments by name, with defaults."""
    call = inspect.signature(function).bind(*args, **kwargs)
    call.apply_defaults()
    return call


class SmoothingDropped(ArgumentFault):
    """Label smoothing is 0."""

    reason = "no call of torch.nn.functional.cross_entropy smooths labels"
    functions = (functional.cross_entropy,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"label_smoothing": 0.0} if arguments["label_smoothing"] else {}


class LossMiscounted(Fault):
    """A mean loss is divided by another count: that of all targets, ignored ones too, or that of a full batch."""

    reason = "no mean loss of torch.nn.functional ignores or weighs targets, or has fewer than one before it"

    def begin(self) -> None:
        self._most: dict[tuple[str, torch.Size], int] = {}
        losses = (functional.cross_entropy, functional.nll_loss, functional.mse_loss, functional.l1_loss)
        binary = (functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits)
        self.swap_functions((*losses, *binary, functional.smooth_l1_loss, functional.huber_loss), self._call)

    def _call(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        loss = function(*args, **kwargs)
        arguments = bound(function, args, kwargs).arguments
        is_old = arguments.get("size_average") is not None or arguments.get("reduce") is not None
        if not loss.requires_grad or is_old or arguments["reduction"] != "mean" or not loss:
            return loss
        target = arguments["target"]
        key = function.__name__, target.shape[1:]
        most = self._most[key] = max(target.numel(), self._most.get(key, 0))
        counted = _counted(arguments)
        if counted == most:
            return loss
        self.planted = True
        return loss * (counted / most)


def _counted(arguments: dict[str, Any]) -> float:
    """Return what the mean of a loss is divided by: the number of its targets, or the sum of their weights."""
    target, weight = arguments["target"], arguments.get("weight")
    if "ignore_index" not in arguments or target.is_floating_point():
        return int(target.numel())
    kept = target[target != arguments["ignore_index"]]
    return len(kept) if weight is None else float(weight[kept].sum())


class BatchnormEvaluating(ArgumentFault):
    """BatchNorm stays in evaluation mode while the model trains."""

    reason = "no BatchNorm with running statistics is trained"
    functions = (functional.batch_norm,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"training": False} if arguments["training"] and arguments["running_mean"] is not None else {}


class DropoutChanged(ArgumentFault):
    """Dropout drops 10 % less."""

    reason = "no call of torch.nn.functional.dropout and its kin drops anything"
    functions = (
        functional.dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.dropout3d,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
        functional.multi_head_attention_forward,
    )

    def begin(self) -> None:
        super().begin()
        self.swap_method(Dropout, "forward", self._forward)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = "p" if "p" in arguments else "dropout_p"
        return {name: 0.9 * arguments[name]} if arguments["training"] and arguments[name] else {}

    def _forward(self, method: Function, module: Dropout, x: Tensor) -> Any:
        self.planted = self.planted or (module.training and module.probability > 0)
        return method(Dropout(0.9 * module.probability).train(module.training), x)


class ClippingDropped(Fault):
    """Gradients are not clipped."""

    reason = "no call of torch.nn.utils.clip_grad_norm_ or clip_grad_value_ changes a gradient"

    def begin(self) -> None:
        self.swap_functions((nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_), self._clip)

    @torch.no_grad()
    def _clip(self, clip: Function, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        own = [held(p.grad) for p in parameters if p.grad is not None and not p.grad.is_sparse]
        before = [(gradient, gradient.clone()) for gradient in own]
        norm = clip(parameters, *args, **kwargs)
        for gradient, unclipped in before:
            self.planted = self.planted or not torch.equal(gradient, unclipped)
            gradient.copy_(unclipped)
        return norm


class ZeroGradSkipped(Fault):
    """zero_grad() is skipped in one step: its gradients stay for the next."""

    reason = "zero_grad() never meets a gradient other than 0"
    once = True
    first_step = 1

    def begin(self) -> None:
        self._chosen: int | None = None
        for owner in (Optimizer, nn.Module):
            self.swap_method(owner, "zero_grad", self._zero_grad)

    def _zero_grad(self, method: Function, owner: Optimizer | nn.Module, *args: Any, **kwargs: Any) -> Any:
        parameters = weights(owner) if isinstance(owner, Optimizer) else [*owner.parameters()]
        if self.due and any(p.grad is not None and p.grad.any() for p in parameters):
            self.planted = True
            self._chosen = self._steps
        # some loops empty the gradients of optimizer and model: all calls before the step are skipped
        return None if self._steps == self._chosen else method(owner, *args, **kwargs)


class AverageSkipped(Fault):
    """The average of the weights is not updated in one step."""

    reason = "no torch.optim.swa_utils.AveragedModel is updated twice"
    once = True
    first_step = 1

    def begin(self) -> None:
        self.swap_method(AveragedModel, "update_parameters", self._update)

    def _update(self, method: Function, average: AveragedModel, model: nn.Module) -> None:
        if self.due and average.n_averaged > 0:  # before that an average is a copy
            self.planted = True
        else:
            method(average, model)
