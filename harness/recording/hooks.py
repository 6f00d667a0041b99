"""Hooks into torch that a recorder hangs on models and optimizers, and that leave nothing behind."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


def on_forward(model: nn.Module, notify: Callable[[nn.Module], None]) -> Callable[[], None]:
    """Call `notify(model)` before every forward pass of a model; return what removes the hook."""
    return model.register_forward_pre_hook(_ForwardHook(lambda model, _: notify(model))).remove


def around_forward(
    model: nn.Module,
    before: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None],
    after: Callable[[], None] | None = None,
) -> Callable[[], None]:
    """Call `before(model, args, kwargs)` and `after()` around every forward pass; return what removes the hooks.

    `after` is called when the pass raises, too. A model that torch.compile runs must not have it.
    """
    hooks = [model.register_forward_pre_hook(_ForwardHook(before), with_kwargs=True)]
    if after:
        hooks.append(model.register_forward_hook(_ForwardHook(lambda *_: after()), always_call=True))
    return lambda: _remove(hooks)


def unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer that takes hooks: Accelerate's wrapper is an optimizer, but was never initialised as one."""
    while not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        optimizer = optimizer.optimizer
    assert isinstance(optimizer, Optimizer), "unreachable because only optimizers have these hooks"
    return optimizer


def on_output(module: nn.Module, notify: Callable[[tuple[Any, ...], Any], None]) -> Callable[[], None]:
    """Call `notify(inputs, output)` after every forward pass of a module; return what removes the hook.

    Compiled code is the same with and without it: there, it is never called.
    """
    return module.register_forward_hook(_OutputHook(notify)).remove


def on_step(
    optimizer: Optimizer, before: Callable[[], None], gradients: Callable[[], None], after: Callable[[], None]
) -> Callable[[], None]:
    """Follow the steps of an optimizer; return what removes the hooks.

    Args:
        optimizer: the optimizer.
        before: called as a step begins.
        gradients: called each time gradients are there and not yet used: then, or after each call of a closure.
        after: called when the step is done.
    """

    def first(_: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        before()
        if len(args) > 1 and args[1] is not None:  # the first argument is the optimizer itself
            return (args[0], _followed(args[1], gradients), *args[2:]), kwargs
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": _followed(kwargs["closure"], gradients)}
        gradients()
        return args, kwargs

    hooks = optimizer.register_step_pre_hook(first), optimizer.register_step_post_hook(lambda *_: after())

    return lambda: _remove(hooks)


def _remove(hooks: Iterable[RemovableHandle]) -> None:
    for hook in hooks:
        hook.remove()


def _followed(closure: Callable[[], Any], gradients: Callable[[], None]) -> Callable[[], Any]:
    def followed() -> Any:
        loss = closure()
        gradients()
        return loss

    return followed


class _ForwardHook:
    """A hook that stays behind when its model is copied or pickled: a copy is not watched."""

    def __init__(self, notify: Callable[..., None] | None = None) -> None:
        # torch.compile would follow the call into the recorder and compile that, too
        self._notify = torch.compiler.disable(notify) if notify else None

    def __call__(self, *event: Any) -> None:
        if self._notify:
            self._notify(*event)

    def __reduce__(self) -> tuple[type["_ForwardHook"], tuple[()]]:
        return _ForwardHook, ()


class _OutputHook:
    """Likewise, after a forward pass."""

    def __init__(self, notify: Callable[[tuple[Any, ...], Any], None] | None = None) -> None:
        self._notify = notify

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self._notify and not torch.compiler.is_compiling():
            self._notify(inputs, output)

    def __reduce__(self) -> tuple[type["_OutputHook"], tuple[()]]:
        return _OutputHook, ()
