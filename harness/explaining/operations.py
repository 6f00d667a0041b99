"""The operations that run in a block, what each made of what, and which lines asked for it.

This is the one module that knows how PyTorch tells of its operations: a dispatch mode sees each, the number of an
autograd node leads from a backward operation to its forward one.
"""

import contextlib
import functools
import math
import random
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode
from torch.utils._pytree import tree_leaves

from harness.explaining.lines import Lines, projects
from harness.explaining.traced import BATCH, CALL, GIVEN, Built, Operation, Place
from harness.recording.built import built_at
from harness.recording.lines import owner


_TRIVIAL = frozenset(
    (
        "aten._local_scalar_dense",
        "aten._reshape_alias",
        "aten._unsafe_view",
        "aten.alias",
        "aten.as_strided",
        "aten.detach",
        "aten.empty",
        "aten.empty_like",
        "aten.empty_strided",
        "aten.equal",
        "aten.expand",
        "aten.is_same_size",
        "aten.new_empty",
        "aten.new_empty_strided",
        "aten.permute",
        "aten.record_stream",
        "aten.resize_",
        "aten.set_",
        "aten.squeeze",
        "aten.t",
        "aten.transpose",
        "aten.unsqueeze",
        "aten.view",
    )
)
"""What computes nothing: another look at the same numbers, or memory that holds none yet."""
_CALLED_BY = {"aten.lift_fresh": "torch.tensor"}
"""What makes a tensor of plain numbers, which no operation made, by the name that users know."""
_MOST = 20_000
"""Operations of a part: of a longer one the first."""
_MOST_RETURNED = 50
"""Values that a function of the project returns, in a part."""
_CALLED: dict[str, tuple[type, ...]] = {
    "train": (nn.Module,),
    "eval": (nn.Module,),
    "zero_grad": (nn.Module, Optimizer),
    "step": (LRScheduler,),
}
"""Calls that no operation shows, and whose they are."""
_WRAPPERS = ("inner", "_fn", "__torch_function__")
"""Functions around one of them, or around a dispatch mode: torch's, and modes for its functions."""
_SEEDING = ("manual_seed", "seed")
_SEED_FILES = (random.__file__, torch.random.__file__)
"""Of the functions that give a seed on."""
_MOST_SEEDS = 2**28
"""Larger ones have more digits than a baseline keeps."""
_MOST_PLACES = 3
_PIECE = 2**20
"""Elements of an array that are looked at together."""
_WIDE = 4096
_GOLDEN, _ROOT = (5**0.5 - 1) / 2, 2**0.5
_Tensors = list[Tensor]


class Tracer(TorchDispatchMode):
    """Lists the operations that run while it is on.

    Args:
        root: of the project.
        stack: takes what ends it.
    """

    supports_higher_order_operators = True

    def __init__(self, root: Path, stack: contextlib.ExitStack) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines = Lines(root)
        self.operations: list[Operation] = []
        self.error: Exception | None = None
        self.on = False
        self._entered = False
        self._returns = Counter[str]()
        self._writers: dict[int, dict[Any, int]] = {}
        self._forward: dict[int, tuple[tuple[Place, ...], Place | None]] = {}
        stack.callback(self.stop)
        for function in (np.random.seed, np.random.default_rng):  # which Python tells no profiler of
            stack.enter_context(mock.patch.object(np.random, function.__name__, self._seeding(function)))
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code would show none of its operations

    def start(self) -> None:
        """List operations from now on, in a list of its own."""
        self.operations, self._writers, self._returns = [], {}, Counter()
        if sys.getprofile() is None:
            sys.setprofile(self._returned)
        if not self._entered:
            self.__enter__()  # type: ignore[no-untyped-call]
            self._entered = True
        self.on = self.error is None

    def stop(self) -> None:
        """List no more; where somebody else's mode has been entered since, this one stays behind it, idle."""
        self.on = False
        if sys.getprofile() == self._returned:
            sys.setprofile(None)
        if self._entered and _get_current_dispatch_mode() is self:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._entered = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and list it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.on:
            with self._unharmed():
                self._list(func, args, kwargs, result)
        return result

    def enter(self, inputs: Any, model: nn.Module) -> None:
        """List what a model is given, with which weights and modes, as if it were made here: it is from anywhere."""
        if not self.on:
            return
        with self._unharmed():
            given = [*_tensors(inputs), *_tensors([*model.parameters(), *model.buffers()])]
            places, _, _ = self._asked(projects(sys._getframe(1)), None)
            training = {module.training for module in model.modules()}
            modes = torch.tensor([float(min(training)), float(max(training))])  # of however many modules
            size = number([*given, modes])
            self.operations.append(Operation(GIVEN, size, self._inputs(given), places or (), None, False))

    def batch(self) -> None:
        """List that a batch is ready."""
        if self.on:
            self.operations.append(Operation(BATCH, 0.0, (), (), None, False))

    @contextlib.contextmanager
    def _unharmed(self) -> Iterator[None]:
        """Look at something; if that fails, the training goes on, without a trace."""
        try:
            with torch._C.DisableTorchFunction():
                yield
        except Exception as error:
            self.error, self.on = error, False

    def _returned(self, frame: FrameType, event: str, value: object) -> None:
        """List the floats, lists of them and arrays that a function of the project is given and returns.

        No operation shows what made them. Of a function that is given others, what it returns is an effect.
        """
        code = frame.f_code
        if self.on and event == "c_return" and getattr(value, "__name__", "") in _SEEDING:
            self._seeded(frame, value)
        if self.on and event == "call" and code.co_name in _CALLED and owner(code.co_filename) == "library":
            self._called(frame, code.co_name)
        if not self.on or event not in ("call", "return") or owner(code.co_filename) != "project":
            return
        if code.co_filename[:1] == "<" or (event == "return" and type(value) not in _RETURNED):
            return
        self.on = False  # for what follows is ours
        with contextlib.suppress(Exception), torch._C.DisableTorchFunction():
            if event == "call":
                values: Iterable[object] = map(frame.f_locals.get, code.co_varnames[: code.co_argcount])
            else:
                values = value if isinstance(value, tuple) else [value]
            name = code.co_qualname + ("(...)" if event == "call" else "()")
            for size in map(_value, values):
                if size is not None and self._returns[name] < _MOST_RETURNED:
                    self._returns[name] += 1
                    self.operations.append(Operation(name, size, (), (self.lines.place(frame),), None, False))
        self.on = True

    def _called(self, frame: FrameType, name: str) -> None:
        """List a call of the project's own that sets a mode, zeroes gradients or moves a schedule."""
        with contextlib.suppress(Exception):
            thing, around = frame.f_locals.get("self"), _unwrapped_frame(frame.f_back)
            if around and owner(around.f_code.co_filename) == "project" and isinstance(thing, _CALLED[name]):
                name = "eval" if frame.f_locals.get("mode") is False else name
                text = f"{CALL}{type(thing).__name__}.{name} in {around.f_code.co_qualname}"
                self.operations.append(Operation(text, 0.0, (), (self.lines.place(around),), None, False))

    def _seeded(self, frame: FrameType, function: Any) -> None:
        """List the seed that torch's or Python's generator is given."""
        with contextlib.suppress(Exception):
            own = getattr(function, "__self__", None)
            seed = own.initial_seed() if isinstance(own, torch.Generator) else frame.f_locals.get("a")
            self._list_seed(f"{type(own).__name__}.{function.__name__}()", seed, frame)

    def _seeding(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of NumPy's that lists the seed which it is given."""

        @functools.wraps(function)
        def seeded(seed: object = None, *args: Any, **kwargs: Any) -> Any:
            if self.on:
                self._list_seed(f"numpy.random.{function.__name__}()", seed, sys._getframe(1))
            return function(seed, *args, **kwargs)

        return seeded

    def _list_seed(self, name: str, seed: object, frame: FrameType | None) -> None:
        """List a seed that the project gives, not one that a library draws for a generator of its own."""
        while frame and frame.f_code.co_filename in _SEED_FILES:
            frame = frame.f_back
        if frame and type(seed) is int and owner(frame.f_code.co_filename) == "project":
            kept = float(seed % _MOST_SEEDS)
            self.operations.append(Operation(name, kept, (), (self.lines.place(frame),), None, False))

    def _inputs(self, given: _Tensors) -> tuple[int, ...]:
        """Return the operations that made what goes into one."""
        return tuple(sorted({writer for tensor in given if (writer := self._writer(tensor)) is not None}))

    def _list(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = str(getattr(func, "overloadpacket", func))
        name = _CALLED_BY.get(name, name)
        if name == "aten.detach":
            self._list_detach(sys._getframe(2))
        if name in _TRIVIAL or name.startswith(("profiler.", "prim.")) or len(self.operations) >= _MOST:
            return
        node = torch._C._current_autograd_node()
        places, built, backward = self._asked(sys._getframe(2), node)
        if places is None:
            return
        given, made, written = _tensors((args, kwargs)), _tensors(result), _tensors(_written(func, args, kwargs))
        inputs = self._inputs(given)
        draws = torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())
        for results in _rows(name, made, written):
            self.operations.append(Operation(name, number(results), inputs, places, built, backward, draws))
            self._wrote(results, written, given)

    def _list_detach(self, frame: FrameType | None) -> None:
        """List a call of the project's own that keeps gradients out: what it gives is as it was."""
        frame = _unwrapped_frame(frame)
        if frame and owner(frame.f_code.co_filename) == "project":
            text = f"{CALL}Tensor.detach in {frame.f_code.co_qualname}"
            self.operations.append(Operation(text, 0.0, (), (self.lines.place(frame),), None, False))

    def _asked(self, frame: FrameType | None, node: Any) -> tuple[tuple[Place, ...] | None, Place | None, bool]:
        """Return the lines that asked for an operation, None if we did; what it ran in; whether it goes backward."""
        found: list[tuple[FrameType, bool]] = []
        built: Place | None = None
        between = False
        while frame and len(found) < _MOST_PLACES:
            whose, name = owner(frame.f_code.co_filename), frame.f_code.co_name
            if node is not None and not found and name == "_engine_run_backward":
                break
            if whose == "ours" and name != "__torch_function__" and not found:
                return None, None, False
            if whose == "project":
                found.append((frame, not between))
                between = False
            elif name != "decorate_context":  # no_grad around a function
                between = True
                if not found and built is None and (noted := _built(frame)):
                    built = noted.places[0]
            frame = frame.f_back
        if not found and node is not None:
            known = self._forward.get(node._sequence_nr())
            around = projects(frame)  # the line that called for the backward pass
            places, built = known or ((self.lines.place(around),) if around else (), None)
            return places, built, True
        direct = [called for _, called in found[1:]] + [False]
        places = tuple(self.lines.place(each, called) for (each, _), called in zip(found, direct, strict=True))
        self._forward.setdefault(torch._C._autograd._get_sequence_nr() - 1, (places, built))
        return places, built, node is not None

    def _writer(self, tensor: Tensor) -> int | None:
        views = self._writers.get(_memory(tensor), {})
        return views.get(_view(tensor), views.get(None))

    def _wrote(self, results: _Tensors, written: _Tensors, given: _Tensors) -> None:
        """Note that the last operation wrote memory, or looked at a part of what it was given."""
        last = len(self.operations) - 1
        looked = {_memory(tensor) for tensor in given} - {_memory(tensor) for tensor in written}
        for tensor in results:
            if _memory(tensor) in looked:
                self._writers.setdefault(_memory(tensor), {})[_view(tensor)] = last
            else:
                self._writers[_memory(tensor)] = {None: last}


def _unwrapped_frame(frame: FrameType | None) -> FrameType | None:
    """Return the frame around wrappers."""
    while frame and frame.f_code.co_name in _WRAPPERS:
        frame = frame.f_back
    return frame


def _rows(name: str, made: _Tensors, written: _Tensors) -> Iterator[_Tensors]:
    """Yield what an operation has made or written, a row each, or in one what it makes of lists.

    Of several results the real ones are told: others may be memory that holds nothing.
    """
    results = made + [tensor for tensor in written if all(tensor is not each for each in made)]
    if name.startswith(("aten._foreach", "aten._fused")) or len(results) == 1:
        yield results
    else:
        yield from ([tensor] for tensor in results if tensor.is_floating_point() and tensor.numel())


def _built(frame: FrameType) -> Built | None:
    """Return who built the module or optimizer that a frame runs in, if it does in one and that is known."""
    thing = frame.f_locals.get("self")
    return built_at(thing) if isinstance(thing, nn.Module | Optimizer) else None


def _written(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Yield the arguments that an operation writes to."""
    schema = getattr(func, "_schema", None)
    for index, argument in enumerate(schema.arguments if schema else ()):
        noted = argument.alias_info is not None and argument.alias_info.is_write
        if noted or argument.name in ("running_mean", "running_var"):  # which are written in training without a note
            yield args[index] if index < len(args) else kwargs.get(argument.name)


def _tensors(values: Any) -> _Tensors:
    """Return the tensors of a nest of values that hold numbers."""
    leaves = tree_leaves(list(values) if isinstance(values, Iterator) else values)
    plain = (_unwrapped(leaf) for leaf in leaves if type(leaf) in (Tensor, nn.Parameter))
    return [leaf for leaf in plain if _has_numbers(leaf)]


def _has_numbers(tensor: Tensor) -> bool:
    """Tell whether a tensor has a row of numbers in memory: zeros that forward differentiation makes have none."""
    is_plain = tensor.layout is torch.strided and not tensor.is_nested
    return is_plain and tensor.device.type != "meta" and not tensor._is_zerotensor()


def _unwrapped(tensor: Tensor) -> Tensor:
    """Return what `torch.func` has wrapped to differentiate it or to run it in a batch: that has the memory."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


_RETURNED = (float, np.ndarray, tuple, list)


def _value(value: object) -> float | None:
    """Return a number that tells a value from others: a finite float, numbers in an array, a generator; else None.

    A list of floats is an array.
    """
    if type(value) is list and value and all(type(each) is float for each in value):
        value = np.array(value)
    if isinstance(value, np.random.Generator):
        return float(zlib.crc32(repr(value.bit_generator.state).encode()))
    if type(value) is float:
        return value if math.isfinite(value) else None
    if type(value) is not np.ndarray or value.dtype.kind not in "biuf":
        return None
    flat = value.reshape(-1)
    return number(torch.from_numpy(flat[at : at + _PIECE].astype(float)) for at in range(0, len(flat), _PIECE))


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _view(tensor: Tensor) -> tuple[int, int]:
    return int(tensor.storage_offset()), tensor.numel()


def number(tensors: Iterable[Tensor]) -> float:
    """Return a number that tells tensors from others: near the mean size of their elements, by sign and order too."""
    sizes = [(1 + index % 7 / 8, tensor.numel(), _size(tensor)) for index, tensor in enumerate(tensors)]
    if len(sizes) == 1:
        return sizes[0][2]
    return sum(weight * size * count for weight, count, size in sizes) / max(1, sum(count for _, count, _ in sizes))


def _size(tensor: Tensor) -> float:
    if not tensor.numel():
        return 0.0
    tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    tensor = tensor.detach()
    flat = (tensor.cpu() if tensor.device.type == "mps" else tensor).reshape(-1).double()
    size = _weighted(flat)
    return size if math.isfinite(size) else _weighted(torch.nan_to_num(flat, nan=3.0, posinf=5.0, neginf=-7.0))


def _weighted(flat: Tensor) -> float:
    """Return the mean size of numbers plus an eighth of a weighted mean of them, which signs and order change."""
    if flat.numel() == 1:
        return float(flat)
    rows, weights = len(flat) // _WIDE, _weights(flat.device)
    total = flat[rows * _WIDE :] @ weights[: len(flat) - rows * _WIDE]
    if rows:
        of_rows = torch.arange(1, rows + 1, dtype=torch.float64, device=flat.device) * _ROOT % 1
        total = total + (flat[: rows * _WIDE].view(rows, _WIDE) @ weights) @ of_rows
    return float(torch.linalg.vector_norm(flat, 1) + total / 8) / len(flat)


@functools.cache
def _weights(device: torch.device) -> Tensor:
    return torch.arange(1, _WIDE + 1, dtype=torch.float64, device=device) * _GOLDEN % 1
