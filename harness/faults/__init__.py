"""Standard faults, planted from outside into any training that a recorder watches: do its tests notice?"""

import contextlib
from collections.abc import Mapping

import torch

from harness.errors import ArgumentError, FaultError
from harness.faults import calls, data, modes, policies, ranks, sequences, settings, tensors
from harness.faults.base import Fault
from harness.record import Record
from harness.recording.perturbation import Planted


_IN_CAUSAL_ORDER: tuple[type[Fault], ...] = (
    data.BatchRepeated,
    data.LastBatchDropped,
    data.LabelSwapped,
    data.ImagesChanged,
    data.SecondInputRepeated,
    ranks.ShardRepeated,
    ranks.EpochNotSet,
    sequences.LabelsNotShifted,
    tensors.WeightScaled,
    ranks.SeedsApart,
    settings.RateScaled,
    settings.ScheduleStuck,
    sequences.PositionsShifted,
    sequences.AttentionMaskDropped,
    policies.ActionsShifted,
    policies.EntropyDropped,
    calls.SmoothingDropped,
    calls.LossMiscounted,
    calls.DropoutChanged,
    calls.BatchnormEvaluating,
    modes.AutocastOn,
    ranks.BuffersNotBroadcast,
    ranks.WrapperBypassed,
    ranks.ReducerHooksLost,
    ranks.SyncSkipped,
    ranks.GradientsSummed,
    calls.ZeroGradSkipped,
    tensors.GradientZeroed,
    tensors.GradientsRounded,
    calls.ClippingDropped,
    ranks.ClippedOnOneRank,
    ranks.ClippedLocally,
    settings.DecayDropped,
    settings.MomentumChanged,
    tensors.StateLost,
    ranks.StateLostOnRanks,
    tensors.SteppedTwice,
    tensors.TensorFrozen,
    tensors.WeightsRounded,
    calls.AverageSkipped,
    modes.EvalForgotten,
)

FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _IN_CAUSAL_ORDER}
"""All standard faults by name, in the causal order of the stages that they show in."""

OF_RANKS = frozenset(name for name, fault in FAULTS.items() if fault.__module__ == ranks.__name__)
"""Those that a training on several ranks alone can have."""

_UNRELATED = (MemoryError, OSError, torch.OutOfMemoryError)
"""What ends a training for reasons of the machine, whatever was planted in it."""


class _Guarded:
    """A fault as a recorder knows it: whatever it raises when it is told of something is an error of the planting."""

    def __init__(self, fault: Fault) -> None:
        self.watch, self.batch, self.end = (fault.guarded(call) for call in (fault.watch, fault.batch, fault.end))


class Planting:
    """Plants a standard fault in every training of a block, and knows what became of it.

    Args:
        name: one of `FAULTS`.

    Raises:
        ArgumentError: there is no fault of that name.
    """

    def __init__(self, name: str) -> None:
        if name not in FAULTS:
            raise ArgumentError.of("Planting", "name", name, f"one of {', '.join(FAULTS)}")
        self._kind = FAULTS[name]
        self._planted: list[Fault] = []

    def __call__(self, stack: contextlib.ExitStack) -> Planted:
        """Put the fault in force until a stack closes.

        Raises:
            FaultError: planting it raised an exception; nothing is in force.
        """
        fault = self._kind(stack)
        self._planted.append(fault)
        try:
            with fault.ours():
                fault.begin()
        except FaultError:
            stack.close()
            raise
        return _Guarded(fault)

    def failure(self, error: BaseException) -> FaultError:
        """Say what it means that a training ended with an exception while the fault was in force."""
        if raised := self._raised:
            return raised
        if self.is_planted and not isinstance(error, _UNRELATED):
            return FaultError.broken(fault=self._kind.name, error=error)
        return FaultError.untouched(fault=self._kind.name, error=error)

    @property
    def is_planted(self) -> bool:
        """Whether the fault took effect in any training."""
        return any(fault.planted for fault in self._planted)

    @property
    def _raised(self) -> FaultError | None:
        return next((fault.error for fault in self._planted if fault.error), None)

    def outcome(self, record: Record) -> tuple[bool, str]:
        """Return whether the fault took effect in a record's training, and if not, why.

        Raises:
            FaultError: planting it raised an exception, which the training survived.
        """
        if raised := self._raised:
            raise raised
        found = (fault.outcome for fault in self._planted if fault.is_in(record))
        return next(found, (False, "no recorder watches this training"))
