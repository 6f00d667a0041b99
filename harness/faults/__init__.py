"""Standard faults, planted from outside into any training that a recorder watches: do its tests notice?"""

import contextlib
from collections.abc import Mapping

from harness.errors import ArgumentError
from harness.faults import calls, data, modes, settings, tensors
from harness.faults.base import Fault
from harness.record import Record


_IN_CAUSAL_ORDER: tuple[type[Fault], ...] = (
    data.BatchRepeated,
    data.LastBatchDropped,
    data.LabelSwapped,
    data.ImagesChanged,
    tensors.WeightScaled,
    settings.RateScaled,
    settings.ScheduleStuck,
    calls.SmoothingDropped,
    calls.DropoutChanged,
    calls.BatchNormEvaluating,
    modes.AutocastOn,
    calls.ZeroGradSkipped,
    tensors.GradientZeroed,
    tensors.GradientsRounded,
    calls.ClippingDropped,
    settings.DecayDropped,
    settings.MomentumChanged,
    tensors.StateLost,
    tensors.SteppedTwice,
    tensors.TensorFrozen,
    tensors.WeightsRounded,
    calls.AverageSkipped,
    modes.EvalForgotten,
)

FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _IN_CAUSAL_ORDER}
"""All standard faults by name, in the causal order of the stages that they show in."""


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

    def __call__(self, stack: contextlib.ExitStack) -> Fault:
        """Put the fault in force until a stack closes."""
        self._planted.append(self._kind(stack))
        return self._planted[-1]

    def outcome(self, record: Record) -> tuple[bool, str]:
        """Return whether the fault took effect in a record's training, and if not, why."""
        found = (fault.outcome for fault in self._planted if fault.is_in(record))
        return next(found, (False, "no recorder watches this training"))
