"""A calibration: how far rounding alone moves a training, measured when it became a baseline."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from harness.record.streams import LONGEST_RUN


_Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]  # it becomes part of a file name
_Step = Annotated[int, Meta(ge=0, lt=LONGEST_RUN)]
_Size = Annotated[float, Meta(ge=0, le=1)]


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far a training parts from itself where nothing but rounding differs.

    The largest relative deviations of any variant go by family of streams, and by steps since the last stored state,
    or since the start where none is stored. None is below the one before; 1 stands for anything larger, and for what
    has no size: another count, another number of evaluations.
    """

    variants: tuple[str, ...]  # what was varied, in words
    margin: float  # thresholds over what the variants showed
    largest: Mapping[str, tuple[_Size, ...]]
    states: _Digest = ""  # SHA-256 of the states that variants and later trainings are put back on; empty: none
    steps: Annotated[tuple[_Step, ...], Meta(min_length=1)] = (0,)  # that begin with a stored state, ascending from 0
    inherited: bool = False  # from a former baseline of the same structure, until it is verified

    def __post_init__(self) -> None:
        if self.steps[0] != 0 or list(self.steps) != sorted(set(self.steps)):
            raise ValueError("steps that do not ascend from 0")

    def at(self, family: str, place: int) -> float:
        """Return the largest deviation of a family some steps after a stored state; later ones are as the last."""
        sizes = self.largest.get(family, ())
        return sizes[min(place, len(sizes) - 1)] if sizes else 0.0


def place_of(step: int, starts: Sequence[int]) -> int:
    """Return how many steps after the last stored state a step is; states stand at ascending steps from 0.

    What happens before the first step has place 0.
    """
    return step - max((start for start in starts if start <= step), default=step)
