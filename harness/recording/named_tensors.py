"""The parameters and buffers of a model by name."""

import operator
from typing import Any

from torch import Tensor, nn


class NamedTensors:
    """Names what a model holds, and walks through it anew only where that has changed: a walk costs more than norms.

    Args:
        model: whose tensors are named.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules: list[nn.Module] = []
        self._held: list[Any] = []
        self._prefix = ""
        self._found: tuple[dict[str, Tensor], dict[str, Tensor]] = {}, {}

    def now(self, prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the parameters and the buffers as they are now, by prefixed name; they belong to this object."""
        if prefix != self._prefix or not self._is_known():
            self._prefix, self._modules = prefix, [*self._model.modules()]
            self._held = _held_by(self._modules)
            parameters, buffers = self._model.named_parameters(), self._model.named_buffers()
            self._found = {prefix + name: each for name, each in parameters}, {prefix + n: b for n, b in buffers}
        return self._found

    def _is_known(self) -> bool:
        """Tell whether the modules hold what they held; ids alone don't tell, as they come again."""
        held = _held_by(self._modules)
        return bool(self._modules) and len(held) == len(self._held) and all(map(operator.is_, held, self._held))


def _held_by(modules: list[nn.Module]) -> list[Any]:
    return [
        each
        for module in modules
        for table in (module._parameters, module._buffers, module._modules)
        for each in table.values()
    ]
