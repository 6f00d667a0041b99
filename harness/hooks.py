"""Hooks into torch that a recorder hangs on models and optimizers, and that leave nothing behind."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


__all__ = ["on_forward", "on_step"]


def on_forward(model: nn.Module, notify: Callable[[nn.Module], None]) -> Callable[[], None]:
    """Call `notify(model)` before every forward pass of a model; return what removes the hook."""
    return model.register_forward_pre_hook(_ForwardHook(notify)).remove


def on_step(
    optimizer: Optimizer, before: Callable[[bool], None], after: Callable[[bool], None]
) -> Callable[[], None]:
    """Call `before` and `after` every step of an optimizer; return what removes the hooks.

    Both are told whether the step has a closure, in which the gradients are computed.
    """
    first = optimizer.register_step_pre_hook(lambda _, args, kwargs: before(_has_closure(args, kwargs)))
    second = optimizer.register_step_post_hook(lambda _, args, kwargs: after(_has_closure(args, kwargs)))

    def remove() -> None:
        first.remove()
        second.remove()

    return remove


def _has_closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether step() was called with a closure; the first argument is the optimizer itself."""
    return (args[1] if len(args) > 1 else kwargs.get("closure")) is not None


class _ForwardHook:
    """A hook that stays behind when its model is copied or pickled: a copy is not watched."""

    def __init__(self, notify: Callable[[nn.Module], None] | None = None) -> None:
        # torch.compile would follow the call into the recorder and compile that, too
        self._notify = torch.compiler.disable(notify) if notify else None

    def __call__(self, model: nn.Module, args: object) -> None:
        if self._notify:
            self._notify(model)

    def __reduce__(self) -> tuple[type["_ForwardHook"], tuple[()]]:
        return _ForwardHook, ()
