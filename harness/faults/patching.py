"""Put other functions and methods in the place of torch's for a while, and leave nothing behind."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import torch


Around = Callable[..., Any]
"""Called in place of a function as `around(function, *args, **kwargs)`."""


def swap_method(stack: contextlib.ExitStack, owner: type, name: str, around: Around) -> None:
    """Let `around` run in place of a method until the stack closes.

    Args:
        stack: takes what puts the method back.
        owner: the class that defines the method.
        name: the method's name.
        around: called as `around(method, instance, *args, **kwargs)`.
    """
    method = vars(owner)[name]
    setattr(owner, name, _replacement(method, around, stack))
    stack.callback(setattr, owner, name, method)


def swap_functions(stack: contextlib.ExitStack, functions: Iterable[Callable[..., Any]], around: Around) -> None:
    """Let `around` run in place of functions until the stack closes, however modules have imported them.

    Modules that are imported meanwhile, and take the replacement with them, get the function back, too. Compiled models
    run eagerly meanwhile: compiled code looks nothing up.

    Args:
        stack: takes what puts the functions back.
        functions: functions that loops and models call.
        around: called as `around(function, *args, **kwargs)`.
    """
    stack.enter_context(torch.compiler.set_stance("force_eager"))
    pairs = [(function, _replacement(function, around, stack)) for function in functions]
    _exchange({id(function): replacement for function, replacement in pairs})
    stack.callback(_exchange, {id(replacement): function for function, replacement in pairs})


def _replacement(function: Callable[..., Any], around: Around, stack: contextlib.ExitStack) -> Callable[..., Any]:
    in_force = [True]  # a reference to the replacement that somebody keeps does as the function did
    stack.callback(in_force.clear)

    @functools.wraps(function)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return around(function, *args, **kwargs) if in_force else function(*args, **kwargs)

    return replacement


def _exchange(replacements: Mapping[int, Callable[..., Any]]) -> None:
    """Replace functions, by identity, in the namespaces of all loaded modules."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):
            names = vars(module)
            if replacements.keys().isdisjoint(map(id, [*names.values()])):  # true of nearly all of thousands
                continue
            held = [(name, id(value)) for name, value in [*names.items()] if id(value) in replacements]
            names.update({name: replacements[identity] for name, identity in held})
