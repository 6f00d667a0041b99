"""Name the module that mixes precisions, or that computes in lower precision than the run is in."""

import contextlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from harness.errors import PrecisionError
from harness.recipe import Precision
from harness.recording.hooks import Hook, Watch


_DTYPES = {"float": "float32", "double": "float64", "half": "float16"}  # as torch's messages call them
_WORDS = re.compile(r"\b(bfloat16|float16|float32|float64|float|double|half)\b", re.IGNORECASE)
_TORCH = str(Path(torch.__file__).parent)


def module_names(model: nn.Module, prefix: str = "") -> dict[int, str]:
    """Return name and class of each module of a model, by its id; the model itself goes by its class alone."""
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    return {
        id(module): f"{prefix}{name} ({kinds[name]})" if name else kinds[name] for name, module in model.named_modules()
    }


def refuse_low_precision(model: nn.Module, names: Mapping[int, str], watch: Watch) -> Callable[[], None]:
    """Make forward passes fail, in a context that `watch` makes, that compute gradients in less than float64.

    Return what ends it.

    Conversions inside a module (`x.float()` and back) are seen, too: they make a float64 run as noisy as a float32
    one, and leave no other trace. What torch.compile compiles is not looked into.
    """
    guard = _Float64Guard(names, watch)
    undo = contextlib.ExitStack()
    for module in model.modules():
        if not isinstance(module, torch.jit.ScriptModule):  # takes no hooks
            undo.callback(module.register_forward_pre_hook(Hook(guard.begin)).remove)
            undo.callback(module.register_forward_hook(Hook(guard.end), always_call=True).remove)
    undo.callback(guard.leave)
    return undo.close


def refuse_low_loss(values: Mapping[str, object]) -> None:
    """Refuse a loss with gradients below float64: binary cross-entropy, say, takes on the dtype of its targets."""
    for name, value in values.items():
        if found := _low(value):
            raise PrecisionError.low(module=name, found=found, place="Recorder.log")


def named_mixture(error: object, names: Mapping[int, str], precision: Precision) -> PrecisionError | None:
    """Return what to say of an exception by which torch refuses to mix dtypes; None for any other exception.

    Torch has no class for it: its message names two floating dtypes.
    """
    if not isinstance(error, RuntimeError | ValueError):
        return None
    words = [word.lower() for word in _WORDS.findall(str(error))]
    words += [precision] if "mixed dtype" in str(error) else []  # normalisation names only one
    found = sorted({_DTYPES.get(word, word) for word in words})
    if len(found) < 2:
        return None
    facts = _facts([*traceback.walk_tb(error.__traceback__)][::-1], names, "the training loop")
    return PrecisionError.mixed(found=" and ".join(found), precision=precision, **facts)


class _Float64Guard(TorchFunctionMode):
    """Sees each result of torch while a module runs."""

    def __init__(self, names: Mapping[int, str], watch: Watch) -> None:
        super().__init__()
        self._names, self._watch = names, watch
        self._outermost: nn.Module | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        with self._watch():
            for value in result if isinstance(result, tuple | list) else (result,):
                if found := _low(value):
                    facts = _facts([*traceback.walk_stack(sys._getframe(1))], self._names, "the model")
                    raise PrecisionError.low(found=found, **facts)
        return result

    def begin(self, module: nn.Module, *_: object) -> None:
        """Look from here on, if a module runs that no other one called."""
        if not torch.compiler.is_compiling() and self._outermost is None and id(module) in self._names:
            self._outermost = module
            self.__enter__()  # type: ignore[no-untyped-call] # torch leaves it unannotated

    def end(self, module: nn.Module, *_: object) -> None:
        """Look no longer, if this module was the first to run."""
        if not torch.compiler.is_compiling() and module is self._outermost:
            self.leave()

    def leave(self) -> None:
        """Look no longer."""
        if self._outermost is not None:
            self._outermost = None
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call] # likewise


def _low(value: object) -> str | None:
    """Return the dtype of a tensor with gradients in less than float64, otherwise None."""
    if isinstance(value, Tensor) and value.requires_grad and torch.finfo(value.dtype).bits < 64:
        return str(value.dtype).removeprefix("torch.")
    return None


def _facts(calls: Sequence[tuple[FrameType, int]], names: Mapping[int, str], otherwise: str) -> dict[str, str]:
    """Return the module that runs, and the line that is at work outside torch and this file; innermost calls first."""
    modules = (frame.f_locals.get("self") for frame, _ in calls)
    module = next((module for module in modules if isinstance(module, nn.Module)), None)
    name = otherwise if module is None else names.get(id(module), type(module).__name__)
    places = ((frame.f_code.co_filename, line) for frame, line in calls)
    file, line = next((file, line) for file, line in places if not file.startswith((_TORCH, __file__)))
    return {"module": name, "place": f"{file}:{line}"}
