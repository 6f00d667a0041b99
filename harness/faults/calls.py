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
from harness.faults.patching import Function, swap_functions, swap_method
from harness.shipped.models import Dropout


class _ArgumentFault(Fault, ABC):
    """Calls torch functions with other arguments."""

    functions: ClassVar[tuple[Function, ...]]

    def begin(self) -> None:
        swap_functions(self._stack, self.functions, self._call)

    @abstractmethod
    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call that the fault changes, with their new values."""

    def _call(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(function).bind(*args, **kwargs)
        call.apply_defaults()
        if change := self.changed(call.arguments):
            self.planted = True
            call.arguments.update(change)
        return function(*call.args, **call.kwargs)


class SmoothingDropped(_ArgumentFault):
    """Label smoothing is 0."""

    name = "smoothing-dropped"
    reason = "no call of torch.nn.functional.cross_entropy smooths labels"
    functions = (functional.cross_entropy,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"label_smoothing": 0.0} if arguments["label_smoothing"] else {}


class BatchNormEvaluating(_ArgumentFault):
    """BatchNorm stays in evaluation mode while the model trains."""

    name = "batchnorm-evaluating"
    reason = "no BatchNorm with running statistics is trained"
    functions = (functional.batch_norm,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"training": False} if arguments["training"] and arguments["running_mean"] is not None else {}


class DropoutChanged(_ArgumentFault):
    """Dropout drops 10 % less."""

    name = "dropout-changed"
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
        swap_method(self._stack, Dropout, "forward", self._forward)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = "p" if "p" in arguments else "dropout_p"
        return {name: 0.9 * arguments[name]} if arguments["training"] and arguments[name] else {}

    def _forward(self, method: Function, module: Dropout, x: Tensor) -> Any:
        self.planted = self.planted or (module.training and module.probability > 0)
        return method(Dropout(0.9 * module.probability).train(module.training), x)


class ClippingDropped(Fault):
    """Gradients are not clipped."""

    name = "clipping-dropped"
    reason = "no call of torch.nn.utils.clip_grad_norm_ or clip_grad_value_ changes a gradient"

    def begin(self) -> None:
        swap_functions(self._stack, (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_), self._clip)

    @torch.no_grad()
    def _clip(self, clip: Function, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        before = [(p.grad, p.grad.clone()) for p in parameters if p.grad is not None and not p.grad.is_sparse]
        norm = clip(parameters, *args, **kwargs)
        for gradient, unclipped in before:
            self.planted = self.planted or not torch.equal(gradient, unclipped)
            gradient.copy_(unclipped)
        return norm


class ZeroGradSkipped(Fault):
    """zero_grad() is skipped in one step: its gradients stay for the next."""

    name = "zero-grad-skipped"
    reason = "zero_grad() never meets a gradient other than 0"
    once = True
    first_step = 1

    def begin(self) -> None:
        self._chosen: int | None = None
        for owner in (Optimizer, nn.Module):
            swap_method(self._stack, owner, "zero_grad", self._zero_grad)

    def _zero_grad(self, method: Function, owner: Optimizer | nn.Module, *args: Any, **kwargs: Any) -> Any:
        parameters = weights(owner) if isinstance(owner, Optimizer) else [*owner.parameters()]
        if self.due and any(p.grad is not None and p.grad.any() for p in parameters):
            self.planted = True
            self._chosen = self._steps
        # some loops empty the gradients of optimizer and model: all calls before the step are skipped
        return None if self._steps == self._chosen else method(owner, *args, **kwargs)


class AverageSkipped(Fault):
    """The average of the weights is not updated in one step."""

    name = "average-skipped"
    reason = "no torch.optim.swa_utils.AveragedModel is updated twice"
    once = True
    first_step = 1

    def begin(self) -> None:
        swap_method(self._stack, AveragedModel, "update_parameters", self._update)

    def _update(self, method: Function, average: AveragedModel, model: nn.Module) -> None:
        if self.due and average.n_averaged > 0:  # before that an average is a copy
            self.planted = True
        else:
            method(average, model)
