"""The tensors of a model and of its optimizers by name."""

import itertools
import operator
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from harness.record import Part
from harness.recording.parts import is_distributed, num_axes, parts_of


@dataclass(frozen=True)
class Named:
    """What a model and its optimizers hold.

    Args:
        parameters: by prefixed name.
        buffers: likewise (BatchNorm's state, say).
        updates: names of the streams of the parameters' updates.
        state: parameters, buffers and the optimizers' state, by the names of their streams.
        is_distributed: whether any of them is a `DTensor`.
        parts: which part this rank holds of those that are divided over ranks, by the names of their streams.
    """

    parameters: dict[str, Tensor] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    updates: list[str] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)
    is_distributed: bool = False
    parts: dict[str, Part] = field(default_factory=dict)


class NamedTensors:
    """Names what a model and its optimizers hold, and walks through it anew only where that has changed.

    A walk costs more than norms.

    Args:
        model: whose tensors are named.
        optimizers: of the model, and those that will be.

    Attributes:
        last: what was held when it was asked for last.
    """

    def __init__(self, model: nn.Module, optimizers: list[Optimizer]) -> None:
        self._model, self._optimizers = model, optimizers
        self._tables: list[dict[str, Any]] = []  # of the modules
        self._held: list[object] = []
        self._distributed: dict[str, Tensor] = {}
        self._prefix = ""
        self.last = Named()

    def now(self, prefix: str) -> Named:
        """Return what is held now; the same object as before, if that is what was held before."""
        if prefix != self._prefix or not self._is_known():
            modules = [*self._model.modules()]
            self._tables = [t for each in modules for t in (each._parameters, each._buffers, each._modules)]
            self._prefix, self._held, self.last = prefix, self._holds(), self._walk(prefix)
        return self.last

    def _is_known(self) -> bool:
        """Tell whether everything is what it was; ids alone don't tell, as they come again."""
        held = self._holds()
        return bool(self._tables) and len(held) == len(self._held) and all(map(operator.is_, held, self._held))

    def _holds(self) -> list[object]:
        held = [*itertools.chain.from_iterable([table.values() for table in self._tables])]
        states = [entries for optimizer in self._optimizers for entries in state_of(optimizer).values()]
        tables = [entries.values() for entries in states if isinstance(entries, dict)]
        return held + [each for table in tables for each in table if isinstance(each, Tensor)]

    def _walk(self, prefix: str) -> Named:
        parameters = {prefix + name: self._own(name, each) for name, each in self._model.named_parameters()}
        buffers = {prefix + name: each for name, each in self._model.named_buffers()}
        state = {f"weight/{name}": each for name, each in parameters.items()}
        state |= {f"buffer/{name}": each for name, each in buffers.items()}
        updates = [f"update/{name}" for name in parameters]
        state |= dict(self._states(parameters))
        of_weights = {f"{kind}/{name}": each for kind in ("init", "update") for name, each in parameters.items()}
        of_buffers = {f"init/{name}": each for name, each in buffers.items()}
        parts = parts_of(state | of_weights | of_buffers)
        return Named(parameters, buffers, updates, state, any(map(is_distributed, state.values())), parts)

    def _own(self, name: str, parameter: Tensor) -> Tensor:
        """Return a parameter as its optimizer holds it.

        FSDP2 has some that are gathered in the place of its own while a model runs, and after a pass that has no
        backward pass.
        """
        known = self._distributed.get(name)
        if known is not None and num_axes(parameter) < num_axes(known) and parameter.shape == known.shape:
            return known
        if is_distributed(parameter):
            self._distributed[name] = parameter
        return parameter

    def _states(self, parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        for optimizer in self._optimizers:
            states = {id(parameter): entries for parameter, entries in state_of(optimizer).items()}
            for name, parameter in parameters.items():
                entries = states.get(id(parameter))
                for key, value in entries.items() if isinstance(entries, dict) else ():
                    if isinstance(value, Tensor) and key != "step":
                        yield f"optimizer/{name}/{key}", value


def state_of(optimizer: Optimizer) -> MutableMapping[Any, Any]:
    """Return the state of an optimizer; of one that divides its work over ranks (ZeRO), what this rank has of it."""
    inner = getattr(optimizer, "optim", None)
    return inner.state if isinstance(inner, Optimizer) else optimizer.state
