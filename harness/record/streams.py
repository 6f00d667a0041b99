"""Streams: one quantity each over a run, in the stages of a step."""

import math
from collections.abc import Iterator
from dataclasses import dataclass


STAGES = (
    "structure",
    "data",
    "init",
    "schedule",
    "forward",
    "backward",
    "update",
    "state",
    "evaluation",
)
"""Causal order. The schedule comes first in a step: the rate that the step will use is settled before it begins."""

Value = float | int | str
"""A number, or the fingerprint of something that is not one."""


@dataclass(frozen=True)
class Stream:
    """One quantity over a run.

    Args:
        stage: where in a step it is made; one of `STAGES`.
        steps: step of each value, 0-based, ascending; a step may occur several times (micro-batches) or never.
        values: one a step in `steps`; floats are exact.
    """

    stage: str
    steps: tuple[int, ...]
    values: tuple[Value, ...]

    def non_finite(self) -> Iterator[tuple[int, float]]:
        """Yield step and value of each NaN or infinity."""
        for step, value in zip(self.steps, self.values, strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                yield step, value
