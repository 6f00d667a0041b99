"""Faults in an optimizer's settings: in force during its steps only, unseen by schedules and checkpoints."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

from harness.faults.base import Fault


class _SettingsFault(Fault, ABC):
    """Changes entries of parameter groups as a step begins, and puts them back when it is done."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        self._before: list[tuple[dict[str, Any], dict[str, Any]]] = []
        stack.callback(self._put_back)

    @abstractmethod
    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        """Return the entries of a parameter group that the fault changes, with their new values.

        Args:
            group: the parameter group.
            place: tells the group from all others.
        """

    def before_step(self, optimizer: Optimizer) -> None:
        self._put_back()  # a closure that raised has left the last step unfinished
        changes = [self.changed(group, (id(optimizer), i)) for i, group in enumerate(optimizer.param_groups)]
        if self.due:
            for group, change in zip(optimizer.param_groups, changes, strict=True):
                self._before.append((group, {key: group[key] for key in change}))
                group.update(change)
            self.planted = self.planted or any(changes)

    def after_step(self, optimizer: Optimizer) -> None:
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            group, entries = self._before.pop()
            group.update(entries)


class RateScaled(_SettingsFault):
    """The learning rate is 1 % higher."""

    name = "rate-scaled"
    what = "the learning rate is 1 % higher"
    reason = "no learning rate is other than 0"
    _FACTOR: ClassVar[float] = 1.01

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        return {"lr": group["lr"] * self._FACTOR} if group["lr"] else {}


class ScheduleStuck(_SettingsFault):
    """The schedule misses one step."""

    name = "schedule-stuck"
    what = "one step keeps the learning rate of the step before it"
    reason = "the learning rate never changes"
    once = True
    first_step = 1

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        self._rates: dict[tuple[int, int], float | Tensor] = {}

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        rate = group["lr"]
        former = self._rates.get(place, rate)
        self._rates[place] = rate.clone() if isinstance(rate, Tensor) else rate  # schedules fill tensors in place
        return {"lr": former} if float(former) != float(rate) else {}


class DecayDropped(_SettingsFault):
    """Weight decay is forgotten."""

    name = "decay-dropped"
    what = "weight decay is 0"
    reason = "the optimizer has no weight decay"

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        return {"weight_decay": 0.0} if group.get("weight_decay") else {}


class MomentumChanged(_SettingsFault):
    """Momentum, or the first of the betas above 0, is lower."""

    name = "momentum-changed"
    what = "momentum (of Adam and its kin: the first beta) is 1 % lower"
    reason = "the optimizer has neither momentum nor betas"
    first_step = 1  # the first step of Adam does not depend on it
    _FACTOR: ClassVar[float] = 0.99

    def changed(self, group: Mapping[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        if group.get("momentum"):
            return {"momentum": group["momentum"] * self._FACTOR}
        first, *others = group.get("betas") or (0.0,)
        return {"betas": (first * self._FACTOR, *others)} if first else {}
