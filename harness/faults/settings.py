"""Faults in an optimizer's settings: in force during its steps only, unseen by schedules and checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from harness.faults.base import Fault


class _SettingsFault(Fault, ABC):
    """Changes entries of parameter groups as a step begins, and puts them back when it is done."""

    @abstractmethod
    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        """Return the changed entries of a parameter group, which `place` tells from all others."""

    def before_step(self, optimizer: Optimizer) -> None:
        self._undo.close()  # a closure that raised has left the last step unfinished
        changes = [self.changed(group, (id(optimizer), i)) for i, group in enumerate(optimizer.param_groups)]
        if self.due:
            for group, change in zip(optimizer.param_groups, changes, strict=True):
                self._undo.callback(group.update, {key: group[key] for key in change})
                group.update(change)
            self.planted = self.planted or any(changes)


class RateScaled(_SettingsFault):
    """The learning rate is 1 % higher."""

    reason = "no learning rate is other than 0"

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        return {"lr": group["lr"] * 1.01} if group.get("lr") else {}


class ScheduleStuck(_SettingsFault):
    """One step keeps the learning rate of the step before it."""

    reason = "the learning rate never changes"
    once = True
    first_step = 1

    def begin(self) -> None:
        self._rates: dict[tuple[int, int], float | Tensor] = {}

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        rate = group.get("lr")
        if rate is None:
            return {}
        former = self._rates.get(place, rate)
        self._rates[place] = rate.clone() if isinstance(rate, Tensor) else rate  # schedules fill tensors in place
        return {"lr": former} if float(former) != float(rate) else {}


class DecayDropped(_SettingsFault):
    """Weight decay is 0."""

    reason = "the optimizer has no weight decay"

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        return {"weight_decay": 0.0} if group.get("weight_decay") else {}


class MomentumChanged(_SettingsFault):
    """Momentum, or the first of the betas above 0 (of Adam and its kin), is 1 % lower."""

    reason = "the optimizer has neither momentum nor betas"
    first_step = 1  # the first step of Adam does not depend on it

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        if group.get("momentum"):
            return {"momentum": group["momentum"] * 0.99}
        first, *others = group.get("betas") or (0.0,)
        return {"betas": (first * 0.99, *others)} if first else {}
