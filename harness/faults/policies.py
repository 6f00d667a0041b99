"""Faults in what reinforcement learning asks of a policy's distribution."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from harness.faults.base import Fault
from harness.faults.patching import Function


class EntropyDropped(Fault):
    """The entropy of a distribution is 0: a policy gets no bonus for it."""

    reason = "no entropy of a distribution of torch.distributions has a gradient"

    def begin(self) -> None:
        for kind in _with_own("entropy"):
            self.swap_method(kind, "entropy", self._entropy)

    def _entropy(self, method: Function, *args: Any) -> Any:
        entropy = method(*args)
        if not entropy.requires_grad or not entropy.any():
            return entropy
        self.planted = True
        return 0 * entropy


class ActionsShifted(Fault):
    """The probability of each action is that of the action before it, of its batch or of the call before."""

    reason = "no log_prob of torch.distributions with a gradient is another for the action before"

    def begin(self) -> None:
        self._former: dict[object, Tensor] = {}
        self._inside = False  # many distributions ask others
        for kind in _with_own("log_prob"):
            self.swap_method(kind, "log_prob", self._log_prob)

    def _log_prob(self, method: Function, distribution: Distribution, value: Tensor) -> Any:
        if self._inside:
            return method(distribution, value)
        self._inside = True
        try:
            return self._of_the_action_before(method, distribution, value)
        finally:
            self._inside = False

    def _of_the_action_before(self, method: Function, distribution: Distribution, value: Tensor) -> Tensor:
        own: Tensor = method(distribution, value)
        former = self._before(distribution, value)
        if not own.requires_grad or value.requires_grad or former is None or torch.equal(former, value):
            return own
        other: Tensor = method(distribution, former)
        if torch.allclose(other.sum(), own.sum()):  # the same for all rows: their order does not matter
            return own
        self.planted = True
        return other

    def _before(self, distribution: Distribution, value: Tensor) -> Tensor | None:
        if value.ndim > len(distribution.event_shape) and len(value) > 1:
            return value.roll(1, 0)
        key = type(distribution), value.shape, value.dtype
        former, self._former[key] = self._former.get(key), value.detach().clone()
        with contextlib.suppress(NotImplementedError):  # kinds of the user's that do not say what they may be asked for
            support = distribution.support
            if former is not None and support is not None and support.check(former).all():
                return former
        return None


def _with_own(method: str) -> Iterator[type[Distribution]]:
    """Yield all kinds of distributions that do not inherit a method."""
    kinds = [Distribution]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if method in vars(kind):
            yield kind
