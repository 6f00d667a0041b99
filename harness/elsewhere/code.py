"""What code a recipe would be trained with now: a fingerprint that is another one once a test has replaced some of it.

Equal recipes are trained once a session, but a test may have put other code in place since: an activation, a loss, a
constant, a method of torch's. What is looked at:

- All that the model function reaches in the project: functions by their bytecode, defaults, closures and the globals
  that they name, classes by what they define, plain values, containers and objects of the project by what they hold.
- What it names there of installed libraries: functions and classes by their bytecode, not what these call in turn.
- Attributes of torch (`_WATCHED`), of the loop and of the recorder that are no longer what they were when the session's
  first training was asked for, down to the methods of classes.
- Whether torch may use oneDNN and cuDNN; and environment variables, if code that is reached asks for any.

What is not: files that a model function reads, names that it makes up (`getattr(nn, kind)`), patches within other
libraries, objects of libraries beside modules of torch, tensors of more than `_SMALL` elements, and what lies beyond
the first `_MOST` values. In a project of some hundred functions it takes a few milliseconds.
"""

import argparse
import enum
import functools
import hashlib
import operator
import os
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import NamedTuple

from harness.recording.lines import is_librarys


_WATCHED = (
    "torch._tensor",
    "torch.amp",
    "torch.autograd",
    "torch.functional",
    "torch.nn",
    "torch.optim",
    "harness.recording",
    "harness.shipped",
)
"""Modules, with those below them; of `torch` itself what stands in it."""
_MOST = 20_000
"""Values that are looked at."""
_SMALL = 256
"""Elements of a tensor or container that are looked at."""
_ABSENT = object()
_PLAIN = (bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType, PurePath)
_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    type,
    property,
    staticmethod,
    classmethod,
)


class Code:
    """The code that trainings of a session run."""

    def __init__(self) -> None:
        self._usual: dict[str, tuple[Mapping[str, object], dict[str, object]]] = {}  # attributes as they are and were
        self._met: set[str] = set()

    def remember(self) -> None:
        """Take what stands now in modules of torch and ours for what is usual, where it was not taken before."""
        new = sys.modules.keys() - self._met
        self._met |= new
        for name in new:
            if name == "torch" or name.startswith(_WATCHED):
                for place, attributes in _places(name, sys.modules[name]):
                    self._usual[place] = attributes, dict(attributes)

    def fingerprint(self, model: object) -> str:
        """Return sixteen hex digits of what a recipe's model, loop and libraries are now, the same in every process.

        Args:
            model: of the recipe: a function, a class, or the name of a shipped one.
        """
        from harness.shipped.models import MODELS

        self.remember()
        moved = {place: names for place, (now, before) in self._usual.items() if (names := _replaced(before, now))}
        replaced = [(place, name, self._usual[place][0].get(name)) for place in sorted(moved) for name in moved[place]]
        roots = [MODELS.get(model) if isinstance(model, str) else model, replaced, _switches()]
        return hashlib.sha256("\n".join(_walk(roots)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _places(name: str, module: types.ModuleType) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield a module, and the classes that are defined in it, with their attributes."""
    yield name, vars(module)
    for value in [*vars(module).values()]:
        if isinstance(value, type) and value.__module__ == name:
            yield f"{name}.{value.__qualname__}()", vars(value)


def _replaced(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return the names of code and plain values that are not what they were."""
    if len(before) == len(now) and all(map(operator.is_, now.values(), before.values())):
        return []  # and in the same order, as nearly always
    names = [name for name, value in now.items() if value is not before.get(name, _ABSENT)]
    names += before.keys() - now.keys()
    return sorted(name for name in names if _matters(before.get(name, _ABSENT), now.get(name, _ABSENT)))


def _matters(before: object, now: object) -> bool:
    """Tell whether it may change a training that one value stands in the place of another."""
    if isinstance(now, types.FunctionType):  # the first compilation has the compiler leave optimizers alone
        now = vars(now).get("_torchdynamo_orig_callable", now)
    if now is before:
        return False
    if isinstance(now, types.FunctionType) and hasattr(now, "hooked"):
        now = getattr(now, "__wrapped__", now)  # an optimizer's step: torch wraps it when the first one is built
        if now is before or (before is _ABSENT and str(now.__module__).startswith("torch.optim")):
            return False
    if isinstance(before, _PLAIN) and isinstance(now, _PLAIN):
        return before != now
    return isinstance(before, _CODE) or isinstance(now, types.FunctionType)


def _switches() -> tuple[object, ...]:
    """Return the settings that choose kernels and that a recorder leaves as they are."""
    import torch

    return bool(torch.backends.mkldnn.enabled), bool(torch.backends.cudnn.enabled)


class _Names(NamedTuple):
    """What code names of a module."""

    module: types.ModuleType
    names: frozenset[str]


def _walk(roots: Iterable[object]) -> Iterator[str]:
    """Yield what is said of all that can be reached, breadth first."""
    pending, met = deque(roots), dict[object, tuple[int, object]]()  # with the value: its id is not given away again
    asks, count = False, 0
    while pending and count < _MOST:
        value, count = pending.popleft(), count + 1
        key = _identity(value)
        if key in met:
            yield f"as {met[key][0]}"
            continue
        if key is not None:
            met[key] = count, value
        text, parts = _taken_apart(value)
        yield text
        pending.extend(parts)
        asks = asks or (isinstance(value, types.FunctionType) and _asks_environment(value.__code__))
    if asks:
        own = ("PYTEST_", "HARNESS_")
        yield from sorted(f"{name}={text}" for name, text in os.environ.items() if not name.startswith(own))


def _identity(value: object) -> object:
    """Return what tells a value that was met before; None of what means the same wherever it stands."""
    if isinstance(value, _Names):
        return id(value.module), value.names
    return None if isinstance(value, (*_PLAIN, tuple)) else id(value)


def _taken_apart(value: object) -> tuple[str, Iterable[object]]:
    """Return what is said of a value alone, and its parts."""
    kind = type(value).__qualname__
    if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
        return f"{kind} {value!r}", ()
    if isinstance(value, _Names):
        return value.module.__name__, _named(value)
    if isinstance(value, dict | types.MappingProxyType):
        return f"{kind} {len(value)}", [part for pair in [*value.items()][:_SMALL] for part in pair]
    if isinstance(value, list | tuple | deque):
        return f"{kind} {len(value)}", [*value][:_SMALL]
    if isinstance(value, set | frozenset):
        return f"{kind} {sorted(map(_short, value))[:_SMALL]}", ()
    if isinstance(value, types.FunctionType):
        return _of_function(value)
    if isinstance(value, type):
        return _of_class(value)
    return _of_object(value, kind)


def _short(value: object) -> str:
    """Return what tells an element of a set from others, in every process the same."""
    if isinstance(value, tuple):
        return f"tuple {[*map(_short, value)]}"
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(_short, value))}"
    if isinstance(value, _PLAIN):
        return repr(value)
    inside = {**getattr(value, "__dict__", {}), **dict(_slots(value))}
    plain = sorted(f"{name}={item!r}" for name, item in inside.items() if isinstance(item, _PLAIN))
    return " ".join([str(getattr(value, "__qualname__", type(value).__qualname__)), *plain])


def _named(code: _Names) -> Iterator[object]:
    """Yield what stands in a module under the names; of a library's only code, plain values and modules."""
    found = vars(code.module)
    librarys = is_librarys(getattr(code.module, "__file__", None) or "")
    for name in sorted(found.keys() & code.names):
        value = found[name]
        if isinstance(value, types.ModuleType):
            yield _Names(value, code.names) if value is not code.module else name
        elif not librarys or isinstance(value, (*_CODE, *_PLAIN)):
            yield (name, value)


def _of_function(function: types.FunctionType) -> tuple[str, Iterable[object]]:
    code = function.__code__
    text = f"{function.__module__}.{function.__qualname__} {_digest(code)}"
    if is_librarys(code.co_filename):  # a decorator's wrapper, say: of what it holds, what the project wrote
        return text, [
            value for value in (getattr(function, "__wrapped__", None), *_closure(function)) if _is_ours(value)
        ]
    names, found = _names(code), function.__globals__
    reached = [(name, found[name]) for name in sorted(names) if name in found]
    places = [f"{found.get('__package__') or ''}.{name}" for name in sorted(names)] + sorted(names - found.keys())
    inside = [sys.modules[name] for name in places if name in sys.modules]  # imported there, relative or not
    modules = [_Names(value, names) for value in [*(value for _, value in reached), *inside] if _is_module(value)]
    parts = [function.__defaults__, function.__kwdefaults__, vars(function), *_closure(function), *modules]
    return text, [*parts, *(pair for pair in reached if not _is_module(pair[1]))]


def _is_ours(value: object) -> bool:
    """Tell whether the project wrote a function or class, or what wraps one may hold such."""
    if isinstance(value, types.FunctionType):
        return not is_librarys(value.__code__.co_filename) or hasattr(value, "__wrapped__")
    if isinstance(value, type):
        return not is_librarys(getattr(sys.modules.get(value.__module__), "__file__", None) or "")
    return isinstance(value, types.MethodType | functools.partial | dict | types.MappingProxyType)


def _is_module(value: object) -> bool:
    return isinstance(value, types.ModuleType)


def _closure(function: types.FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it holds nothing yet
            yield None


def _of_class(owner: type) -> tuple[str, Iterable[object]]:
    module = sys.modules.get(owner.__module__)
    text = f"{owner.__module__}.{owner.__qualname__}"
    code = {name: value for name, value in vars(owner).items() if isinstance(value, _CODE) or not name.startswith("__")}
    if module and is_librarys(getattr(module, "__file__", None) or ""):
        methods = [value for value in code.values() if isinstance(value, types.FunctionType)]
        return " ".join([text, *(_digest(method.__code__) for method in methods)]), ()
    return text, [*owner.__bases__, *(pair for pair in code.items() if pair[0] != "_abc_impl")]


def _of_object(value: object, kind: str) -> tuple[str, Iterable[object]]:
    """Take apart what wraps code; of other objects those of the project, of torch's modules, and small tensors."""
    if isinstance(value, types.MethodType):
        return kind, (value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return kind, (value.func, value.args, value.keywords)
    if isinstance(value, property):
        return kind, (value.fget, value.fset)
    if isinstance(value, _CODE):
        return f"{kind} {getattr(value, '__qualname__', '')}", (getattr(value, "__func__", None),)
    import torch

    if isinstance(value, torch.Tensor):
        plain = value.numel() <= _SMALL and value.layout is torch.strided and not value.is_meta
        return f"{kind} {value.dtype} {[*value.shape]}", value.detach().flatten().tolist() if plain else ()
    if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return repr(value), ()
    module = sys.modules.get(type(value).__module__)
    ours = module is None or not is_librarys(getattr(module, "__file__", None) or "")
    if ours or isinstance(value, torch.nn.Module | types.SimpleNamespace | argparse.Namespace):
        return kind, (type(value), getattr(value, "__dict__", None), *_slots(value))
    return kind, (getattr(value, "__wrapped__", None), getattr(value, "func", None))  # of functools.cache and its kin


def _slots(value: object) -> Iterator[tuple[str, object]]:
    """Yield what an object holds in slots."""
    for owner in type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            yield name, getattr(value, name, None)


@functools.lru_cache(4096)
def _names(code: types.CodeType) -> frozenset[str]:
    """Return the names that code, and functions within it, look up: globals and attributes."""
    return frozenset(code.co_names).union(*(_names(inner) for inner in _inner(code)))


@functools.lru_cache(4096)
def _asks_environment(code: types.CodeType) -> bool:
    return not _names(code).isdisjoint(("environ", "getenv"))


@functools.lru_cache(4096)
def _digest(code: types.CodeType) -> str:
    """Return what code does, whatever lines it stands on."""
    constants = [
        sorted(map(repr, value)) if isinstance(value, frozenset) else value
        for value in code.co_consts
        if not isinstance(value, types.CodeType)
    ]
    form = (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_flags, constants)
    return hashlib.sha256(repr((form, [*map(_digest, _inner(code))])).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [value for value in code.co_consts if isinstance(value, types.CodeType)]
