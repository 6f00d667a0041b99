"""A calibration: what is measured when a low-precision training becomes a baseline."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from harness.record.streams import LONGEST_RUN


_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]  # it becomes part of a file name
_Step = Annotated[int, Meta(ge=0, lt=LONGEST_RUN)]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far benign variants of a low-precision training part from it, measured when it became a baseline.

    The largest relative deviations of any variant go by family of streams, and by steps since the last stored state.
    """

    states: _Digest  # SHA-256 of the states that the variants, and later trainings, are put back on
    steps: Annotated[tuple[_Step, ...], Meta(min_length=1)]  # that begin with a stored state, ascending from 0
    margin: float  # thresholds over what the variants showed
    variants: tuple[str, ...]  # what was varied, in words
    largest: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if self.steps[0] != 0 or list(self.steps) != sorted(set(self.steps)):
            raise ValueError("steps that do not ascend from 0")
