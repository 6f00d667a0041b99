"""The calls of a model's modules: a number of each output, and of the gradient that comes back to it."""

import contextlib
import functools
import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.hooks import unserializable_hook

from harness.record import Part, StreamKey
from harness.record.streams import CALLS, DIGITS
from harness.recording.fingerprints import tensors_in
from harness.recording.hooks import Hung, on_output
from harness.recording.norms import read, real
from harness.recording.parts import held, is_distributed, offsets, part_of
from harness.recording.stream_builder import StreamBuilder


_ELEMENTS = 1000
"""Of a tensor that are looked at, spread evenly over it: what a step can afford."""
_DENSE = 3
"""The first 2**3 steps are recorded, then every second of as many, every fourth of twice as many, and so on."""
_STAGES = dict(zip(CALLS, ("forward", "backward", "evaluation"), strict=True))

_on_trial = ContextVar("on_trial", default=False)

Found = list[tuple[StreamKey, Tensor]]
"""Numbers of calls, in their order, where they were computed."""
Guard = Callable[[Callable[..., None]], Callable[..., None]]
"""Makes a call one that never fails in the loop."""


class Calls:
    """Follows the modules of a model, all but the model itself.

    No output is held on to, and no accelerator waited for: its numbers are read together. A forward pass within a
    backward pass repeats one (a checkpoint), and doesn't count. What torch.compile compiles is not looked into.

    Args:
        model: whose modules are followed.
        prefix: of their names.
        found: takes the numbers; other models share it.
        guard: of all that hooks call.
        parts: takes which part a number is of, by stream, where a tensor is divided over ranks.
    """

    def __init__(self, model: nn.Module, prefix: str, found: Found, guard: Guard, parts: dict[str, Part]) -> None:
        self._found, self._guard, self._parts = found, guard, parts
        named = ((module, prefix + name) for name, module in model.named_modules() if name)
        self._calls = {  # a script takes no hooks
            name: (module, self._call(module, name))
            for module, name in named
            if not isinstance(module, torch.jit.ScriptModule)
        }
        self._hung = dict[str, Hung]()
        self._eager = set[str]()  # modules that were seen to call what hangs on them
        self._kind = ""  # of what is followed now; empty: nothing is
        self._noted = set[StreamKey]()
        self._last: tuple[Callable[[], Tensor | None], int, Tensor] = lambda: None, 0, torch.empty(0)
        self._evaluations, self._evaluated = 0, (-2, 0)  # no place

    def begin_step(self, step: int) -> None:
        """Begin anew; calls belong to the training until an evaluation begins. The first one of a module tells."""
        self._noted.clear()
        self.begin_pass(step)

    def begin_pass(self, step: int, evaluated: tuple[int, int] | None = None) -> None:
        """Follow a pass of the model: of those that evaluate it at one place in the training, the first."""
        if evaluated is None:
            self._follow("output" if _is_kept(step) else "")
        elif evaluated == self._evaluated:
            self._follow("")
        else:
            self._noted.clear()
            self._follow("evaluation_output" if _is_kept(self._evaluations) else "")
            self._evaluations, self._evaluated = self._evaluations + 1, evaluated

    def end(self) -> None:
        """Follow nothing any more: a graph that the loop keeps has hooks still."""
        self._follow("")
        self._take_off(self._calls)

    def _follow(self, kind: str) -> None:
        """Have hooks while something is followed: a module without any is called in half the time.

        What is compiled keeps them: it never calls them, and would be compiled again without.
        """
        self._kind = kind
        if not kind:
            self._take_off(self._eager)
        elif len(self._hung) < len(self._calls):
            absent = ((name, call) for name, call in self._calls.items() if name not in self._hung)
            self._hung |= {name: on_output(*call) for name, call in absent}

    def _take_off(self, names: Iterable[str]) -> None:
        for name in names:
            if hung := self._hung.pop(name, None):
                hung()

    def _call(self, module: nn.Module, name: str) -> Callable[..., None]:
        keys = {kind: StreamKey.of(kind, name) for kind in CALLS}
        back = unserializable_hook(self._guard(functools.partial(self._came_back, keys["output_gradient"])))
        return self._guard(functools.partial(self._called, name, keys, back, any(True for _ in module.children())))

    def _called(
        self,
        name: str,
        keys: Mapping[str, StreamKey],
        back: Callable[..., None],
        holds: bool,
        _: object,
        output: object,
    ) -> None:
        """Note what a module returned, and what will come back to it; once where it returns what its last one did."""
        self._eager.add(name)
        if not self._kind or _on_trial.get() or torch._C._current_graph_task_id() != -1:
            return
        key = keys[self._kind]
        for tensor in (output,) if isinstance(output, Tensor) else tensors_in(output):
            if holds and self._is_last(tensor):
                self._take(key, self._last[2])
            elif self._note(key, tensor):
                self._last = weakref.ref(tensor), _version(tensor), self._found[-1][1]
                if self._kind == "output" and tensor.requires_grad and not tensor.is_leaf:
                    tensor.register_hook(back)

    def _came_back(self, key: StreamKey, gradient: Tensor) -> None:
        if self._kind == "output" and not torch.compiler.is_compiling():
            self._note(key, gradient)

    def _note(self, key: StreamKey, tensor: Tensor) -> bool:
        if key in self._noted:
            return False
        if _is_plain(tensor):
            return self._take(key, _number(tensor))
        return is_distributed(tensor) and self._note_part(key, tensor)

    def _note_part(self, key: StreamKey, tensor: Tensor) -> bool:
        """Note what this rank holds of a tensor; of what lies scattered over it, nothing."""
        own, starts = held(tensor), offsets(tensor)
        if starts is None or not _is_plain(own):
            return False
        if part := part_of(tensor):
            self._parts[key] = part
        return self._take(key, _number(own, tensor.shape, starts))

    def _take(self, key: StreamKey, number: Tensor) -> bool:
        new = key not in self._noted
        if new:
            self._noted.add(key)
            self._found.append((key, number))
        return new

    def _is_last(self, tensor: Tensor) -> bool:
        last, version, _ = self._last
        return last() is tensor and _version(tensor) == version


@contextlib.contextmanager
def unfollowed() -> Iterator[None]:
    """Follow no call in a block: a model is on trial there, which is no part of its training."""
    token = _on_trial.set(True)
    try:
        yield
    finally:
        _on_trial.reset(token)


def record(found: Found, builder: StreamBuilder, step: int) -> None:
    """Record numbers as those of a step, and forget them."""
    if not found:
        return
    values = (_rounded(value) for value in read([number for _, number in found]))
    numbers = [(key, value) for (key, _), value in zip(found, values, strict=True)]
    found.clear()
    for kind, stage in _STAGES.items():
        row = [number for number in numbers if number[0].kind == kind]
        builder.add(stage, [key for key, _ in row], step, [value for _, value in row])


def _rounded(value: float) -> float:
    return math.nan if math.isnan(value) else float(f"{value:.{DIGITS - 1}e}")  # one NaN, as a text of the record has


def _is_kept(count: int) -> bool:
    return not count % (1 << max(0, count.bit_length() - _DENSE))


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; of those that inference mode makes, nobody knows."""
    return 0 if tensor.is_inference() else tensor._version


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether there are numbers in memory: no stand-in for them that a transform, a tracer or a mesh computes."""
    return (
        type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
        and tensor.layout is torch.strided
        and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def _number(tensor: Tensor, shape: tuple[int, ...] = (), starts: tuple[int, ...] = ()) -> Tensor:
    """Return the Euclidean norm of elements of a tensor, the same for any memory format, on its device.

    Of a part of a tensor of some shape, those that are taken of the whole: the squares of all parts' norms add up.
    """
    if torch._C._len_torch_dispatch_stack():  # somebody counts operations, or writes them down: not ours
        with _disable_current_modes():
            return _number(tensor, shape, starts)
    wide = torch.float32 if tensor.is_mps else torch.float64
    if shape:
        sample = tensor.data[
            tuple(slice(-start % step, None, step) for start, step in zip(starts, _steps(shape), strict=True))
        ]
    else:
        sample = tensor.data.as_strided(*_spread(tensor.shape, tensor.stride()))
    number: Tensor = torch.linalg.vector_norm(real(sample, wide), dtype=wide)
    return number


@functools.lru_cache(maxsize=4096)
def _spread(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return shape and strides of a view of few elements: every so many in each dimension."""
    steps = _steps(shape)
    counts = [-(-side // step) for side, step in zip(shape, steps, strict=True)]
    return counts, [stride * step for stride, step in zip(strides, steps, strict=True)]


def _steps(shape: tuple[int, ...]) -> list[int]:
    """Return of each dimension which elements are looked at, every so many, odd numbers of them, for few in all."""
    every, counts = [1] * len(shape), list(shape)
    while math.prod(counts) > _ELEMENTS:
        longest = max(range(len(counts)), key=counts.__getitem__)
        every[longest] = 2 * every[longest] + 1
        counts[longest] = -(-shape[longest] // every[longest])
    return every
