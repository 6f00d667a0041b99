"""Hooks into torch that a recorder hangs on models and optimizers, and that leave nothing behind."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def on_forward(model: nn.Module, notify: Callable[[nn.Module], None]) -> Callable[[], None]:
    """Call `notify(model)` before every forward pass of a model; return what removes the hook."""
    # without `disable`, here and below, torch.compile would follow the call into the recorder and compile that, too
    return model.register_forward_pre_hook(_Hook(torch.compiler.disable(lambda model, _: notify(model)))).remove


def around_forward(
    model: nn.Module,
    before: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None],
    after: Callable[[], None] | None = None,
) -> Callable[[], None]:
    """Call `before(model, args, kwargs)` and `after()` around every forward pass; return what removes the hooks.

    `after` is called when the pass raises, too. A model that torch.compile runs must not have it.
    """
    hooks = [model.register_forward_pre_hook(_Hook(torch.compiler.disable(before)), with_kwargs=True)]
    if after:
        end = _Hook(torch.compiler.disable(lambda *_: after()))
        hooks.append(model.register_forward_hook(end, always_call=True))
    return _removing(*hooks)


def on_output(module: nn.Module, notify: Callable[[tuple[Any, ...], Any], None]) -> Callable[[], None]:
    """Call `notify(inputs, output)` after every forward pass of a module; return what removes the hook.

    Compiled code is the same with and without it: there, it is never called.
    """

    def eager(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not torch.compiler.is_compiling():
            notify(inputs, output)

    return module.register_forward_hook(_Hook(eager)).remove


def unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer that takes hooks: Accelerate's wrapper is an optimizer, but was never initialised as one."""
    while not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        optimizer = optimizer.optimizer
    assert isinstance(optimizer, Optimizer), "unreachable because only optimizers have these hooks"
    return optimizer


def on_step(
    optimizer: Optimizer, before: Callable[[], None], gradients: Callable[[], None], after: Callable[[], None]
) -> Callable[[], None]:
    """Follow the steps of an optimizer; return what removes the hooks.

    `before` is called as a step begins, `after` when it is done, and `gradients` each time gradients are there and not
    yet used: as it begins, or after each call of a closure.
    """

    def first(_: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        before()
        if len(args) > 1 and args[1] is not None:  # the first argument is the optimizer itself
            return (args[0], _followed(args[1], gradients), *args[2:]), kwargs
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": _followed(kwargs["closure"], gradients)}
        gradients()
        return args, kwargs

    return _removing(optimizer.register_step_pre_hook(first), optimizer.register_step_post_hook(lambda *_: after()))


def _followed(closure: Callable[[], Any], gradients: Callable[[], None]) -> Callable[[], Any]:
    def followed() -> Any:
        loss = closure()
        gradients()
        return loss

    return followed


def _removing(*hooks: Any) -> Callable[[], None]:
    def remove() -> None:
        for hook in hooks:
            hook.remove()

    return remove


class _Hook:
    """A hook that stays behind when its model is copied or pickled: a copy is not watched."""

    def __init__(self, notify: Callable[..., None] | None = None) -> None:
        self._notify = notify

    def __call__(self, *event: Any) -> None:
        if self._notify:
            self._notify(*event)

    def __reduce__(self) -> tuple[type["_Hook"], tuple[()]]:
        return _Hook, ()
