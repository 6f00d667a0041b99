"""Name what mixes precisions, or computes in lower precision than the run is in."""

import contextlib
import dis
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode
from torch.utils.weak import WeakTensorKeyDictionary

from harness.errors import PrecisionError
from harness.recipe import Precision
from harness.recording.hooks import Hook, Watch
from harness.recording.lines import is_between, is_librarys, users_line


_CALLED = {"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16"}
_DTYPES = _CALLED | {name.lower(): dtype for name, dtype in _CALLED.items()} | {name: name for name in _CALLED.values()}
"""By what torch's messages call them: float, torch.float32, FloatTensor, CPUFloatType, ComplexFloat, c10::Half, ..."""
_NAMES = re.compile(rf"(?:\b|(?<=got)|(?<=dtype))(?:CPU|CUDA)?(?:Complex)?({'|'.join(_DTYPES)})(?:Tensor|Type)?\b")
_REFUSED = re.compile(r"\b(same|equal|match|expected|mixed|promoting)\b", re.IGNORECASE)
_UNNAMED = re.compile(r"\b(same|equal|mixed)\b.*\b(d?type|datatype)\b|\bdtype.*\b(same|equal)\b", re.IGNORECASE)
_INTEGERS = re.compile(r"\b(u?int\d*|long|short|char|byte|bool)\b", re.IGNORECASE)
_TORCH = str(Path(torch.__file__).parent) + os.sep
Origin = Callable[[Tensor], str]
"""Returns the line that a tensor comes from; empty if it is not known."""


def module_names(model: nn.Module, prefix: str = "") -> dict[int, str]:
    """Return name and class of each module of a model, by its id; the model itself goes by its class alone."""
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    return {
        id(module): f"{prefix}{name} ({kinds[name]})" if name else kinds[name] for name, module in model.named_modules()
    }


def refuse_low_loss(values: Mapping[str, object], origin: Origin) -> None:
    """Refuse a loss with gradients below float64: binary cross-entropy, say, takes on the dtype of its targets."""
    for name, value in values.items():
        if "loss" in name and isinstance(value, Tensor) and _has_low_gradients(value):  # others may be metrics
            raise PrecisionError.low(module=name, found=_dtype(value), place="Recorder.log", made=origin(value))


def named_mixture(
    error: object, names: Mapping[int, str], precision: Precision, origin: Origin
) -> PrecisionError | None:
    """Return what to say of an exception by which torch refuses to mix dtypes; None for any other exception.

    Torch has no class for it, and some thirty wordings. Most name two floating dtypes; where one names none, the
    tensors at hand where it was raised tell.
    """
    if not isinstance(error, RuntimeError | ValueError) or not _is_torchs(error):
        return None
    calls = [*traceback.walk_tb(error.__traceback__)][::-1]
    unnamed = _UNNAMED.search(str(error)) and not _INTEGERS.search(str(error))
    found = _named(str(error)) or (_held(calls[0][0]) if unnamed else set())
    if len(found) < 2:
        return None
    module, place = _module(calls, names), users_line(calls) or _line(calls)
    held = (tensor for frame, _ in calls for tensor in _tensors([*frame.f_locals.values()]) if _dtype(tensor) in found)
    made, both = next(filter(None, map(origin, held)), ""), " and ".join(sorted(found))
    return PrecisionError.mixed(found=both, precision=precision, module=module, place=place, made=made)


def _is_torchs(error: BaseException) -> bool:
    """Tell whether an exception was raised by torch, or below Python, and not by a statement of somebody else's."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    code = trace.tb_frame.f_code if trace else None
    if trace is None or code is None:
        return False
    return code.co_filename.startswith(_TORCH) or dis.opname[code.co_code[trace.tb_lasti]] != "RAISE_VARARGS"


def _named(message: str) -> set[str]:
    """Return the floating dtypes that a line of a message names as not going together; none if there is no such line.

    Lines, because that of a loader's worker holds its traceback.
    """
    lines = (_NAMES.findall(line) for line in message.splitlines() if _REFUSED.search(line))
    found = ({_DTYPES[name] for name in names} for names in lines)
    return next((dtypes for dtypes in found if len(dtypes) > 1), set())


def _held(frame: FrameType) -> set[str]:
    """Return the floating dtypes of the tensors that a call has at hand."""
    return {_dtype(tensor) for tensor in _tensors([*frame.f_locals.values()]) if tensor.is_floating_point()}


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, list | tuple):
        yield from (tensor for item in value for tensor in _tensors(item))


class Float64Guard(TorchFunctionMode):
    """Makes passes fail that compute gradients in less than float64, and knows where what is lower comes from.

    Conversions and back are seen, too, in a module (`x.float()`) and in the loop: they make a float64 run as noisy as a
    float32 one, and leave no other trace. What no gradient goes through, a metric say, may be in any precision. What
    torch.compile compiles is not looked into.

    Args:
        watch: makes a context that passes are looked at in.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._names: dict[int, str] = {}
        self._outermost: nn.Module | None = None
        self._looks = self._stays = self._judges = False
        self._origins = WeakTensorKeyDictionary()
        self._hooks = contextlib.ExitStack()

    def start(self) -> None:
        """Look from here on where tensors come from; not within a mode of the loop's, which may end first."""
        if not torch._C._len_torch_function_stack():
            self._look_on()
            self._hooks.enter_context(mock.patch.object(torch, "from_numpy", self._noted(torch.from_numpy)))

    def watch(self, model: nn.Module, names: Mapping[int, str]) -> None:
        """Judge what torch makes of float64 once a module of this model runs."""
        self._names |= names
        for module in model.modules():
            if module._compiled_call_impl is not None:
                self._look_away()  # what is compiled while a mode is there is compiled again without it
            if not isinstance(module, torch.jit.ScriptModule):  # takes no hooks
                self._hooks.callback(module.register_forward_pre_hook(Hook(self._begin)).remove)
                self._hooks.callback(module.register_forward_hook(Hook(self._end), always_call=True).remove)

    def leave(self) -> None:
        """Look no longer, nor in the pass that is just beginning; what was seen stays known."""
        self._names, self._outermost = {}, None
        self._look_away()
        self._hooks.close()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not look in a block: processes that are forked in it would never end to."""
        looks = self._looks
        self._look_away()
        yield
        if looks:
            self._look_on()

    def origin(self, tensor: Tensor) -> str:
        """Return the line that a tensor below float64 comes from; empty if that was not seen."""
        return str(self._origins.get(tensor, ""))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling() or not self._looks:
            return func(*args, **kwargs)
        result = _original(func)(*args, **kwargs)
        made = args[:1] if result is None else result
        try:  # asked at each call of torch's, so without a context
            is_low = any(map(_is_low, _tensors(made)))
        except Exception:  # of a tensor of somebody's own: looking at it tells what is the matter
            is_low = True
        if is_low:
            with self._watch():
                self._look([*args, *kwargs.values()], made)
        return result

    def _noted(self, make: Callable[[object], Tensor]) -> Callable[[object], Tensor]:
        """Have a function be looked at that no mode sees."""

        def noted(array: object) -> Tensor:
            made = make(array)
            if self._looks and not torch.compiler.is_compiling():
                with self._watch():
                    self._look((), made)
            return made

        return noted

    def _look(self, given: object, made: object) -> None:
        """Note where low results come from, and refuse those of something high; an assignment to elements has none."""
        low = [value for value in _tensors(made) if _is_low(value)]
        if not low:
            return
        known = next(filter(None, map(self.origin, _tensors(given))), "")
        origin = known or _line(traceback.walk_stack(sys._getframe(1)))
        for value in low:
            self._origins.setdefault(value, origin)
        if self._judges and any(_is_high(value) for value in _tensors(given)):
            for value in filter(_has_low_gradients, low):
                self._refuse(value)

    def _refuse(self, value: Tensor) -> None:
        """Refuse a result at once if a module runs, and otherwise if a gradient goes through it: it may be a metric.

        What a library's trainer does around the model, nobody can mend: the training's own thresholds hold it.
        """
        calls = [*traceback.walk_stack(sys._getframe(1))]
        place = _line(calls)
        if not self._outermost and is_librarys(place.rpartition(":")[0]):
            return
        module = _module(calls, self._names)
        error = PrecisionError.low(module=module, found=_dtype(value), place=place, made=self.origin(value))

        def refuse(*_: Tensor) -> None:
            with self._watch():
                raise error

        if self._outermost:
            refuse()
        self._hooks.callback(value.register_hook(refuse).remove)

    def _begin(self, module: nn.Module, *_: object) -> None:
        """Judge from here on; within a mode of the loop's, which must end first, until the module has run."""
        if torch.compiler.is_compiling() or self._outermost or id(module) not in self._names:
            return
        self._outermost, self._judges = module, True
        if not self._looks:
            self._look_on()

    def _end(self, module: nn.Module, *_: object) -> None:
        """Note that no module runs any more, if this one was the first to."""
        if not torch.compiler.is_compiling() and module is self._outermost:
            self._outermost = None
            if not self._stays:
                self._look_away()

    def _look_on(self) -> None:
        self._looks, self._stays = True, not torch._C._len_torch_function_stack()
        self.__enter__()  # type: ignore[no-untyped-call] # torch leaves it unannotated

    def _look_away(self) -> None:
        """Take this mode off, and no other one that has begun since."""
        self._looks = False
        modes = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]
        for mode in reversed(modes):
            if mode is not self:
                _push_mode(mode)


def _original(func: Any) -> Any:
    """Return the function of torch that is running, for whatever somebody has put in its place.

    A Python function of torch asks a mode by the name that it has in its module. There it may have been replaced by one
    that calls it, and whose part is done already.
    """
    code = getattr(func, "__code__", None)
    if code is None or code.co_filename.startswith(_TORCH):
        return func
    asked = sys._getframe(3).f_code if sys._getframe(2).f_code.co_name == "handle_torch_function" else None
    return FunctionType(asked, sys._getframe(3).f_globals) if asked else func


def _is_low(value: Tensor) -> bool:
    return _is_below_float64(value.dtype)


@functools.cache
def _is_below_float64(dtype: torch.dtype) -> bool:
    return (dtype.is_floating_point or dtype.is_complex) and torch.finfo(dtype).bits < 64


def _has_low_gradients(value: Tensor) -> bool:
    return value.requires_grad and _is_low(value)


def _is_high(value: Tensor) -> bool:
    return value.requires_grad and not _is_low(value)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


Call = tuple[FrameType, int]


def _module(calls: Sequence[Call], names: Mapping[int, str]) -> str:
    """Return the name of the module that runs; innermost calls first."""
    modules = (frame.f_locals.get("self") for frame, _ in calls)
    module = next((module for module in modules if isinstance(module, nn.Module)), None)
    return "the training loop" if module is None else names.get(id(module), type(module).__name__)


def _line(calls: Iterable[Call]) -> str:
    """Return the line that is at work outside torch, the recorder, and what Python puts in between."""
    places = ((frame.f_code.co_filename, line) for frame, line in calls)
    return next(f"{file}:{line}" for file, line in places if not (file.startswith(_TORCH) or is_between(file)))
