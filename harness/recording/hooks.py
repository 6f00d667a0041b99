"""Hooks into torch that a recorder hangs on models and optimizers, and that leave nothing behind."""

import contextlib
import copyreg
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.fx._symbolic_trace import is_fx_symbolic_tracing
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from harness.errors import RecorderError


Watch = Callable[[], contextlib.AbstractContextManager[object]]
"""Makes a context that sees what is raised in it."""


class Hook:
    """A hook of ours on a module: idle while that is traced, and left behind when it is copied or pickled.

    Copies that `stays_behind` does not make, of what reduces itself, take an empty one along.
    """

    def __init__(self, notify: Callable[..., None] | None = None) -> None:
        self._notify = notify

    def __call__(self, *event: Any) -> None:
        """Notify of a call of the module, unless it is traced."""
        if self._notify and not _is_traced():
            self._notify(*event)

    def __reduce__(self) -> tuple[type["Hook"], tuple[()]]:
        return Hook, ()


def _is_traced() -> bool:
    """Tell whether modules run only for somebody to write down what they compute: for TensorBoard's graph, an export.

    What torch.compile traces is no such pass: it will run.
    """
    jit: Any = torch.jit  # whose stub leaves out is_tracing
    return jit.is_tracing() or torch.compiler.is_exporting() or is_fx_symbolic_tracing()


def stays_behind(model: nn.Module) -> Callable[[], None]:
    """Have a model's modules copied and pickled as if no hook of ours hung on them; return what ends it."""
    kinds = {type(module) for module in model.modules()} - copyreg.dispatch_table.keys()
    for kind in kinds:
        copyreg.pickle(kind, _reduced)

    def undo() -> None:
        for kind in kinds:
            copyreg.dispatch_table.pop(kind, None)

    return undo


def _reduced(module: nn.Module) -> tuple[Any, ...]:
    """Reduce a module as pickle does it, but for hooks of ours."""
    parts: Any = module.__reduce_ex__(2)  # what makes it, of what, and its state, unless it goes its own way
    if len(parts) < 3 or not isinstance(parts[2], dict):
        return tuple(parts)
    hooks = {name: hung for name, hung in parts[2].items() if "_hooks" in name and hung}
    ours = {key for hung in hooks.values() for key, hook in hung.items() if isinstance(hook, Hook)}
    return *parts[:2], parts[2] | {name: _without(hung, ours) for name, hung in hooks.items()}, *parts[3:]


def _without(hung: Any, keys: set[int]) -> Any:
    return type(hung)((key, value) for key, value in hung.items() if key not in keys)


class Hung:
    """Hooks that hang somewhere; called, it takes them off."""

    def __init__(self, *handles: RemovableHandle) -> None:
        self._handles = handles

    def __call__(self) -> None:
        """Take them off."""
        for handle in self._handles:
            handle.remove()

    @property
    def gone(self) -> bool:
        """Whether somebody else has taken one off."""
        return any(handle.id not in (handle.hooks_dict_ref() or ()) for handle in self._handles)


def on_forward(model: nn.Module, notify: Callable[[nn.Module], None]) -> Hung:
    """Call `notify(model)` before every forward pass of a model; return what removes the hook."""
    # without `disable`, here and below, torch.compile would follow the call into the recorder and compile that, too
    return Hung(model.register_forward_pre_hook(Hook(torch.compiler.disable(lambda model, _: notify(model)))))


def around_forward(
    model: nn.Module,
    before: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None],
    after: Callable[[], None] | None = None,
) -> Hung:
    """Call `before(model, args, kwargs)` and `after()` around every forward pass; return what removes the hooks.

    `after` is called when the pass raises, too. A model that torch.compile runs must not have it.
    """
    hooks = [model.register_forward_pre_hook(Hook(torch.compiler.disable(before)), with_kwargs=True)]
    if after:
        end = Hook(torch.compiler.disable(lambda *_: after()))
        hooks.append(model.register_forward_hook(end, always_call=True))
    return Hung(*hooks)


def on_output(module: nn.Module, notify: Callable[[tuple[Any, ...], Any], None]) -> Hung:
    """Call `notify(inputs, output)` after every forward pass of a module; return what removes the hook.

    Compiled code is the same with and without it: there, it is never called. Nor is it by replicas of the module.
    """

    def eager(called: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not torch.compiler.is_compiling() and called is module:
            notify(inputs, output)

    return Hung(module.register_forward_hook(Hook(eager)))


def on_load(module: nn.Module, notify: Callable[[], None]) -> Hung:
    """Call `notify()` after every `load_state_dict` of a module; return what removes the hook."""
    return Hung(module.register_load_state_dict_post_hook(Hook(lambda *_: notify())))


def unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer that takes hooks: Accelerate's wrapper is an optimizer, but was never initialised as one.

    Raises:
        RecorderError: it is no optimizer and wraps none; a scheduler holds one, but is none.
    """
    inner = optimizer
    while not hasattr(inner, "_optimizer_step_pre_hooks"):
        inner = None if isinstance(inner, LRScheduler) else getattr(inner, "optimizer", None)
        if inner is None:
            raise RecorderError.not_an_optimizer(found=type(optimizer).__name__)
    assert isinstance(inner, Optimizer), "unreachable because only optimizers have these hooks"
    return inner


def on_step(
    optimizer: Optimizer, before: Callable[[], None], gradients: Callable[[], None], after: Callable[[], None]
) -> Hung:
    """Follow the steps of an optimizer; return what removes the hooks.

    `before` is called as a step begins, `after` when it is done, and `gradients` each time gradients are there and not
    yet used: as it begins, or after each call of a closure.
    """
    later = torch.compiler.disable(gradients)

    def first(_: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        before()
        if len(args) > 1 and callable(args[1]):  # the first argument is the optimizer itself
            return (args[0], _followed(args[1], later), *args[2:]), kwargs
        if callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": _followed(kwargs["closure"], later)}
        gradients()
        return args, kwargs

    begin, end = map(torch.compiler.disable, (first, lambda *_: after()))
    return Hung(optimizer.register_step_pre_hook(begin), optimizer.register_step_post_hook(end))


def on_every_step(before: Callable[[Optimizer], None], after: Callable[[Optimizer], None]) -> Hung:
    """Call `before(optimizer)` and `after(optimizer)` around each step of any optimizer, hooks of its own included."""
    before, after = map(torch.compiler.disable, (before, after))
    return Hung(
        register_optimizer_step_pre_hook(lambda optimizer, *_: before(optimizer)),
        register_optimizer_step_post_hook(lambda optimizer, *_: after(optimizer)),
    )


def around_scaled_steps(around: Callable[[Optimizer], contextlib.AbstractContextManager[None]]) -> Callable[[], None]:
    """Have every step that a gradient scaler takes, or leaves out, run in a context; return what ends it."""
    original = GradScaler.step

    @functools.wraps(original)
    def step(scaler: GradScaler, optimizer: Optimizer, *args: Any, **kwargs: Any) -> float | None:
        with around(optimizer):
            return original(scaler, optimizer, *args, **kwargs)

    GradScaler.step = step  # type: ignore[assignment, method-assign]

    def undo() -> None:
        GradScaler.step = original  # type: ignore[method-assign]

    return undo


def _followed(closure: Callable[[], Any], gradients: Callable[[], None]) -> Callable[[], Any]:
    def followed() -> Any:
        loss = closure()
        gradients()
        return loss

    return followed
