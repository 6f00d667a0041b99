"""What an optimizer holds of a model: parameters and settings, in named groups."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.optim import Optimizer


NO_SETTINGS = ("params", "lr")
"""Of a parameter group: the rate in effect has a stream of its own; `initial_lr` is what a schedule starts from."""
_FIXED = (int, float, bool, str, type(None))

Group = tuple[str, Mapping[str, Any]]
"""A parameter group and its name."""


class Share(NamedTuple):
    """What an optimizer holds, the same object while that is the same.

    Args:
        known: the model's parameters, by name.
        held: parameters and settings of each group, but its rate, as they come.
        is_fixed: whether nobody can write into a setting.
        own: the parameters that are the model's, by name, in the model's order.
        labels: of the groups.
    """

    known: Mapping[str, Tensor]
    held: Sequence[object]
    is_fixed: bool
    own: Mapping[str, Tensor]
    labels: Sequence[str]

    def groups(self, optimizer: Optimizer) -> list[Group]:
        """Return the optimizer's parameter groups as they are now."""
        return [*zip(self.labels, optimizer.param_groups, strict=True)]


def entries(groups: Iterable[Mapping[str, Any]]) -> list[object]:
    """Return what parameter groups hold, but their rates; each is the object that it was if nobody has changed it."""
    settings = (entry for group in groups for entry in group.items())
    return [
        each for key, value in settings if key != "lr" for each in ((*value, None) if key == "params" else (key, value))
    ]


def are_fixed(groups: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether nobody can write into a setting of some groups."""
    return all(_is_fixed(value) for group in groups for key, value in group.items() if key not in NO_SETTINGS)


def _is_fixed(value: object) -> bool:
    return type(value) in _FIXED or (type(value) is tuple and all(type(each) in _FIXED for each in value))
