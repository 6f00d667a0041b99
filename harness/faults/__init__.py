"""Standard faults, planted from outside into any training that a recorder watches: do its tests notice?"""

import contextlib
from collections.abc import Mapping

from harness.errors import UnknownFaultError
from harness.faults.base import Fault
from harness.faults.calls import (
    AverageSkipped,
    BatchNormEvaluating,
    ClippingDropped,
    DropoutChanged,
    SmoothingDropped,
    ZeroGradSkipped,
)
from harness.faults.data import BatchRepeated, ImagesChanged, LabelSwapped, LastBatchDropped
from harness.faults.modes import AutocastOn, EvalForgotten
from harness.faults.settings import DecayDropped, MomentumChanged, RateScaled, ScheduleStuck
from harness.faults.tensors import (
    GradientsRounded,
    GradientZeroed,
    StateLost,
    SteppedTwice,
    TensorFrozen,
    WeightScaled,
    WeightsRounded,
)


__all__ = ["FAULTS", "Fault", "plant"]

_IN_CAUSAL_ORDER: tuple[type[Fault], ...] = (
    BatchRepeated,
    LastBatchDropped,
    LabelSwapped,
    ImagesChanged,
    WeightScaled,
    RateScaled,
    ScheduleStuck,
    SmoothingDropped,
    DropoutChanged,
    BatchNormEvaluating,
    AutocastOn,
    ZeroGradSkipped,
    GradientZeroed,
    GradientsRounded,
    ClippingDropped,
    DecayDropped,
    MomentumChanged,
    StateLost,
    SteppedTwice,
    TensorFrozen,
    WeightsRounded,
    AverageSkipped,
    EvalForgotten,
)

FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _IN_CAUSAL_ORDER}
"""All standard faults by name, in the causal order of the stages that they show in."""


def plant(name: str, stack: contextlib.ExitStack) -> Fault | None:
    """Put a fault in force until a stack closes.

    Args:
        name: one of `FAULTS`; empty for none.
        stack: takes what ends the fault.

    Raises:
        UnknownFaultError: there is no fault of that name.
    """
    if name and name not in FAULTS:
        raise UnknownFaultError(fault=name, known=", ".join(FAULTS))
    return FAULTS[name](stack) if name else None
