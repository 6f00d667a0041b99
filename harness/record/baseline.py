"""A baseline."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """How far benign variants of a low-precision training part from it, measured when it became a baseline.

    Args:
        states: SHA-256 of the states that the variants, and later trainings, are put back on.
        steps: steps that begin with a stored state, ascending from 0.
        margin: thresholds over what the variants showed.
        variants: what was varied, in words.
        largest: kind of streams to the largest relative deviation of any variant, by steps since the last state.
    """

    states: str
    steps: tuple[int, ...]
    margin: float
    variants: tuple[str, ...]
    largest: Mapping[str, tuple[float, ...]]
