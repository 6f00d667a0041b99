"""The tensors of a model and of its optimizers by name."""

import itertools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Named:
    """What a model and its optimizers hold.

    Args:
        parameters: by prefixed name.
        buffers: likewise (BatchNorm's state, say).
        updates: names of the streams of the parameters' updates.
        state: parameters, buffers and the optimizers' state, by the names of their streams.
    """

    parameters: dict[str, Tensor] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    updates: list[str] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)


class NamedTensors:
    """Names what a model and its optimizers hold, and walks through it anew only where that has changed.

    A walk costs more than norms.

    Args:
        model: whose tensors are named.
        optimizers: of the model, and those that will be.
    """

    def __init__(self, model: nn.Module, optimizers: list[Optimizer]) -> None:
        self._model, self._optimizers = model, optimizers
        self._tables: list[dict[str, Any]] = []  # of the modules
        self._held: list[object] = []
        self._prefix = ""
        self._named = Named()

    def now(self, prefix: str) -> Named:
        """Return what is held now; the same object as before, if that is what was held before."""
        if prefix != self._prefix or not self._is_known():
            modules = [*self._model.modules()]
            self._tables = [t for each in modules for t in (each._parameters, each._buffers, each._modules)]
            self._prefix, self._held, self._named = prefix, self._holds(), self._walk(prefix)
        return self._named

    def _is_known(self) -> bool:
        """Tell whether everything is what it was; ids alone don't tell, as they come again."""
        held = self._holds()
        return bool(self._tables) and len(held) == len(self._held) and all(map(operator.is_, held, self._held))

    def _holds(self) -> list[object]:
        held = [*itertools.chain.from_iterable([table.values() for table in self._tables])]
        states = [entries for optimizer in self._optimizers for entries in optimizer.state.values()]
        tables = [entries.values() for entries in states if isinstance(entries, dict)]
        return held + [each for table in tables for each in table if isinstance(each, Tensor)]

    def _walk(self, prefix: str) -> Named:
        parameters: dict[str, Tensor] = {prefix + name: each for name, each in self._model.named_parameters()}
        buffers = {prefix + name: each for name, each in self._model.named_buffers()}
        state = {f"weight/{name}": each for name, each in parameters.items()}
        state |= {f"buffer/{name}": each for name, each in buffers.items()}
        updates = [f"update/{name}" for name in parameters]
        return Named(parameters, buffers, updates, state | dict(self._states(parameters)))

    def _states(self, parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        for optimizer in self._optimizers:
            states = {id(parameter): entries for parameter, entries in optimizer.state.items()}
            for name, parameter in parameters.items():
                entries = states.get(id(parameter))
                for key, value in entries.items() if isinstance(entries, dict) else ():
                    if isinstance(value, Tensor) and key != "step":
                        yield f"optimizer/{name}/{key}", value
