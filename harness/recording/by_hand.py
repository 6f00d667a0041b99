"""The optimizer of a loop that has none: it does nothing, as the loop has done it already."""

from typing import Any

from torch import nn
from torch.optim import Optimizer


class ByHand(Optimizer):
    """Stands for updates by hand of a model, so that its steps are recorded as any optimizer's.

    Args:
        model: its parameters are updated, those that join later, too.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), {})
        self._model = model

    def update(self) -> None:
        """Take a step of all parameters that the model has by now."""
        self.param_groups[0]["params"] = [*self._model.parameters()]
        self.step()

    def step(self, closure: Any = None) -> None:  # type: ignore[override] # a closure would have no one to use it
        """Do nothing but what torch does around a step: it calls hooks."""
