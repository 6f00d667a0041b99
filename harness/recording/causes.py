"""What a training is set up with, in words and numbers: the causes of what else moves."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer
from torch.utils.data import BatchSampler, DataLoader

from harness.record import Value
from harness.record.streams import FIRST_STEP
from harness.recording import generators
from harness.recording.batches import AT_ONCE
from harness.recording.built import built_at
from harness.recording.parameter_groups import NO_SETTINGS, Group, Share
from harness.recording.stream_builder import StreamBuilder


_MODES = {True: "training", False: "evaluation"}
_MOST_OTHERS = 3
"""Modules that are named as in another mode than their model."""
_LONGEST = 200
"""Characters of what a module says of itself."""
_ADDRESS = re.compile(r"( at)? ?0x[0-9a-fA-F]+")


class Causes:
    """Notes how a training is set up, as it changes; what cannot be had of somebody's objects is left out.

    Args:
        builder: what the notes go to.
    """

    def __init__(self, builder: StreamBuilder) -> None:
        self._builder = builder
        self._generators: dict[str, torch.Generator] = {}
        self._loaders: dict[tuple[object, ...], str] = {}
        self._passed: dict[str, tuple[int, int]] = {}
        self._set: dict[Optimizer, Share] = {}
        self._states: list[tuple[int, generators.State]] = []  # by the steps that began with them
        self.built: dict[str, Any] = {}  # who built what is noted, by kind and name of its streams, where that is known

    def open(self, model: nn.Module, prefix: str, step: int) -> None:
        """Note what the modules of a model are, and from now on the states of the generators that it draws from."""
        self._note("structure", step, lambda: modules(model, prefix))
        for path, module in named_modules(model, prefix):
            self._keep_built(f"module/{path}", module)
        with contextlib.suppress(Exception):
            self._generators |= generators.of_model(model)

    def iterate(self, loader: DataLoader[Any], step: int) -> None:
        """Note how a data loader samples; loaders that sample alike are one."""
        self._note("data", step, lambda: self._sampling(loader))

    def begin_step(self, step: int) -> None:
        """Copy the states of the generators, and note those of several steps at once, as batches are."""
        with contextlib.suppress(Exception):
            self._states.append((step, generators.states(self._generators)))
        if len(self._states) == AT_ONCE:
            self.work_out()

    def work_out(self) -> None:
        """Note the states of the generators that were copied."""
        for step, state in self._states:
            self._builder.note("data", generators.digests(state), step, phase=0)
        self._states.clear()

    def set_rates(self, optimizer: Optimizer, share: Share, step: int) -> None:
        """Note the settings of an optimizer, by named group."""
        if self._set.get(optimizer) is not share or not share.is_fixed:
            self._set[optimizer] = share
            self._note("schedule", step, lambda: self._settings(optimizer, share.groups(optimizer)))

    def run(self, model: nn.Module, prefix: str, step: int, optimizer_steps: int) -> None:
        """Note the mode of a model in its first pass of a step, and in the first before all steps or after one."""
        name, stage = f"mode/{prefix.rstrip('.') or 'the model'}", "forward"
        if optimizer_steps or step == FIRST_STEP:
            name, stage = f"{name} in evaluation", "evaluation"
        if self._passed.get(prefix) != (step, optimizer_steps):
            self._passed[prefix] = step, optimizer_steps
            self._note(stage, step, lambda: {name: mode(model)})

    def _note(self, stage: str, step: int, find: Callable[[], Mapping[str, Value]]) -> None:
        with contextlib.suppress(Exception):
            self._builder.note(stage, find(), step)

    def _keep_built(self, name: str, thing: object) -> None:
        if (found := built_at(thing)) is not None:
            self.built.setdefault(name, found)

    def _settings(self, optimizer: Optimizer, groups: list[Group]) -> dict[str, Value]:
        for label, _ in groups:
            self._keep_built(f"setting/{label}", optimizer)
        return settings(optimizer, groups)

    def _sampling(self, loader: DataLoader[Any]) -> dict[str, Value]:
        found = sampling(loader)
        name = self._loaders.setdefault(tuple(found.items()), str(len(self._loaders)))
        self._generators |= generators.of_loader(name, loader)
        self._keep_built(f"loader/{name}", loader)
        return {f"loader/{name}/{entry}": value for entry, value in found.items()}


def settings(optimizer: Optimizer, groups: list[Group]) -> dict[str, Value]:
    """Return the class of an optimizer and every plain value of its named groups, but the rate, by stream name."""
    found: dict[str, Value] = {}
    for label, group in groups:
        found[f"setting/{label}/optimizer"] = type(optimizer).__name__
        for name, value in group.items():
            if name not in NO_SETTINGS and (plain := _plain(value)) is not None:
                found[f"setting/{label}/{name}"] = plain
    return found


def _plain(value: object) -> Value | None:
    """Return a number, or another plain value or a sequence of them as text; None for anything else."""
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        return None if None in parts else f"({', '.join(map(str, parts))})"
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return str(value) if value is None or isinstance(value, bool | str | float) else None


def modules(model: nn.Module, prefix: str) -> dict[str, Value]:
    """Return what each module of a model is, by stream name: its class, and what it says of itself."""
    with torch.random.fork_rng(devices=[]):  # whatever they draw is no draw of the training
        return {f"module/{path}": _text(module) for path, module in named_modules(model, prefix)}


def named_modules(model: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of a model, by the name that streams give them."""
    return ((f"{prefix}{name}".rstrip(".") or "model", module) for name, module in model.named_modules())


def _text(module: nn.Module) -> str:
    try:
        said = _ADDRESS.sub("", module.extra_repr())
    except Exception:  # it is anybody's code, and may want what is not there yet
        said = ""
    kind = parametrize.type_before_parametrizations(module).__name__
    text = f"{kind}({', '.join(filter(None, (said, *_parametrized(module))))})"[:_LONGEST]
    return f"{text} compiled" if module._compiled_call_impl is not None else text


def _parametrized(module: nn.Module) -> Iterator[str]:
    """Yield what makes each tensor of a module that is not a parameter itself: `weight=_SpectralNorm`."""
    if parametrize.is_parametrized(module):
        for name, makers in cast("Mapping[str, nn.ModuleList]", module.parametrizations).items():
            yield f"{name}={' of '.join(type(maker).__name__ for maker in reversed(makers))}"


def mode(model: nn.Module) -> str:
    """Return in which mode a model is, which of its modules are in the other one, and whether gradients are on."""
    others = sorted(_others(model, model.training), key=lambda name: name.count("."))
    more = f" and {len(others) - _MOST_OTHERS} more" if len(others) > _MOST_OTHERS else ""
    but = f" but {', '.join(others[:_MOST_OTHERS])}{more} {_MODES[not model.training]}" if others else ""
    return f"{_MODES[model.training]}{but}, gradients {'on' if torch.is_grad_enabled() else 'off'}"


def _others(model: nn.Module, training: bool, prefix: str = "") -> Iterator[str]:
    """Yield the modules that are in another mode, without what is below them: they are looked at in every pass."""
    for name, module in model._modules.items():
        if module is not None and module.training is not training:
            yield prefix + name
        elif module is not None and module._modules:
            yield from _others(module, training, f"{prefix}{name}.")


def sampling(loader: DataLoader[Any]) -> dict[str, Value]:
    """Return how a data loader draws samples, and with which workers."""
    own = type(loader.batch_sampler) not in (BatchSampler, type(None))
    context = loader.multiprocessing_context or torch.multiprocessing
    workers = loader.num_workers
    found = {
        "sampler": type(loader.batch_sampler if own else loader.sampler).__name__,
        "batch_size": loader.batch_size,
        "drop_last": loader.drop_last,
        "workers": workers,
        "start_method": context.get_start_method() if workers else None,
        "persistent_workers": loader.persistent_workers,
    }
    return {name: value for name, each in found.items() if (value := _plain(each)) is not None}
