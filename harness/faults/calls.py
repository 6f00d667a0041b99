"""Faults in what a loop or a model asks torch to do: other arguments, or a call that is missing."""

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from harness.faults.base import Fault, weights
from harness.faults.patching import swap_functions, swap_method
from harness.shipped.models import Dropout


_Function = Callable[..., Any]


class _ArgumentFault(Fault, ABC):
    """Calls torch functions with other arguments."""

    functions: ClassVar[tuple[_Function, ...]]

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        swap_functions(stack, self.functions, self._call)

    @abstractmethod
    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call that the fault changes, with their new values."""

    def _call(self, function: _Function, *args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(function).bind(*args, **kwargs)
        call.apply_defaults()
        if change := self.changed(call.arguments):
            self.planted = True
            call.arguments.update(change)
        return function(*call.args, **call.kwargs)


class SmoothingDropped(_ArgumentFault):
    """Label smoothing is forgotten."""

    name = "smoothing-dropped"
    what = "label smoothing is 0"
    reason = "no call of torch.nn.functional.cross_entropy smooths labels"
    functions = (functional.cross_entropy,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"label_smoothing": 0.0} if arguments["label_smoothing"] else {}


class BatchNormEvaluating(_ArgumentFault):
    """BatchNorm is left in evaluation mode."""

    name = "batchnorm-evaluating"
    what = "BatchNorm stays in evaluation mode while the model trains"
    reason = "no BatchNorm with running statistics is trained"
    functions = (functional.batch_norm,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"training": False} if arguments["training"] and arguments["running_mean"] is not None else {}


class DropoutChanged(_ArgumentFault):
    """Dropout drops less."""

    name = "dropout-changed"
    what = "dropout drops 10 % less"
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
    _FACTOR: ClassVar[float] = 0.9

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        swap_method(stack, Dropout, "forward", self._forward)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = "p" if "p" in arguments else "dropout_p"
        return {name: self._FACTOR * arguments[name]} if arguments["training"] and arguments[name] else {}

    def _forward(self, method: _Function, module: Dropout, x: Tensor) -> Any:
        self.planted = self.planted or (module.training and module.probability > 0)
        return method(Dropout(self._FACTOR * module.probability).train(module.training), x)


class ClippingDropped(Fault):
    """Gradients are not clipped."""

    name = "clipping-dropped"
    what = "gradients are not clipped"
    reason = "no call of torch.nn.utils.clip_grad_norm_ or clip_grad_value_ changes a gradient"

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        swap_functions(stack, (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_), self._clip)

    @torch.no_grad()
    def _clip(self, clip: _Function, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        before = [(p.grad, p.grad.clone()) for p in parameters if p.grad is not None and not p.grad.is_sparse]
        norm = clip(parameters, *args, **kwargs)
        for gradient, unclipped in before:
            self.planted = self.planted or not torch.equal(gradient, unclipped)
            gradient.copy_(unclipped)
        return norm


class ZeroGradSkipped(Fault):
    """Gradients of one step stay for the next."""

    name = "zero-grad-skipped"
    what = "zero_grad() is skipped in one step"
    reason = "zero_grad() never meets a gradient other than 0"
    once = True
    first_step = 1

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        self._chosen: int | None = None
        for owner in (Optimizer, nn.Module):
            swap_method(stack, owner, "zero_grad", self._zero_grad)

    def _zero_grad(self, method: _Function, owner: Optimizer | nn.Module, *args: Any, **kwargs: Any) -> Any:
        parameters = weights(owner) if isinstance(owner, Optimizer) else [*owner.parameters()]
        if self.due and any(p.grad is not None and p.grad.any() for p in parameters):
            self.planted = True
            self._chosen = self._steps
        # some loops empty the gradients of optimizer and model: all calls before the step are skipped
        return None if self._steps == self._chosen else method(owner, *args, **kwargs)


class AverageSkipped(Fault):
    """The average of the weights misses one update."""

    name = "average-skipped"
    what = "the average of the weights is not updated in one step"
    reason = "no torch.optim.swa_utils.AveragedModel is updated twice"
    once = True
    first_step = 1

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        swap_method(stack, AveragedModel, "update_parameters", self._update)

    def _update(self, method: _Function, average: AveragedModel, model: nn.Module) -> None:
        if self.due and average.n_averaged > 0:  # before that an average is a copy
            self.planted = True
        else:
            method(average, model)
