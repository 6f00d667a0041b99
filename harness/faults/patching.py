"""Put other functions and methods in the place of torch's for a while, and leave nothing behind."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import torch


Function = Callable[..., Any]


def swap_method(stack: contextlib.ExitStack, owner: type, name: str, around: Function) -> None:
    """Let `around(method, instance, *args, **kwargs)` run in place of a class's method until the stack closes."""
    method, inherited = getattr(owner, name), name not in vars(owner)
    setattr(owner, name, _replacement(method, around, stack))
    stack.callback(delattr, owner, name) if inherited else stack.callback(setattr, owner, name, method)


def swap_functions(stack: contextlib.ExitStack, functions: Iterable[Function], around: Function) -> None:
    """Let `around(function, *args, **kwargs)` run in place of functions until the stack closes, whoever imported them.

    Modules that are imported meanwhile, and take the replacement with them, get the function back, too. Compiled models
    run eagerly meanwhile: compiled code looks nothing up.
    """
    stack.enter_context(torch.compiler.set_stance("force_eager"))
    pairs = [(function, _replacement(function, around, stack)) for function in functions]
    modules = _modules()
    held = _exchange(modules, {id(function): replacement for function, replacement in pairs})
    back = {id(replacement): function for function, replacement in pairs}
    known = {id(names): names for names in modules}  # which keeps them alive, and their ids theirs
    stack.callback(lambda: _exchange([*held, *(new for new in _modules() if id(new) not in known)], back))


def _modules() -> list[dict[str, Any]]:
    """Return the namespaces of all loaded modules."""
    return [vars(module) for module in [*sys.modules.values()] if isinstance(module, ModuleType)]  # type: ignore[redundant-expr]  # some put other objects there


def _replacement(function: Function, around: Function, stack: contextlib.ExitStack) -> Function:
    in_force = [True]  # a reference to the replacement that somebody keeps does as the function did
    stack.callback(in_force.clear)

    @functools.wraps(function)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return around(function, *args, **kwargs) if in_force else function(*args, **kwargs)

    return replacement


def _exchange(modules: Iterable[dict[str, Any]], replacements: Mapping[int, Function]) -> list[dict[str, Any]]:
    """Replace functions, by identity, in namespaces; return those that hold any of them: few of thousands."""
    holding = [names for names in modules if not replacements.keys().isdisjoint(map(id, [*names.values()]))]
    for names in holding:
        names.update({n: replacements[id(value)] for n, value in [*names.items()] if id(value) in replacements})
    return holding
