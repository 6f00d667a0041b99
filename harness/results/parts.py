"""The parts of a result: dictionaries, so that JSON holds them as they are. `results.schema.json` describes them."""

import math
from typing import Literal, TypedDict


__all__ = ["FORMAT", "Change", "Curve", "Figure", "First", "Number", "Profile", "Result", "Training", "plain"]

FORMAT = 1
"""Version of the form that results have in JSON."""

Number = float | str
"""A finite number, or "nan", "inf" or "-inf": JSON has none of these. `float()` reads both."""


class Change(TypedDict):
    """Something around the training, or in its recipe, that is not as it was; as text."""

    name: str
    before: str
    now: str


class First(TypedDict):
    """Where a training first leaves its baseline."""

    step: int
    stage: str
    stream: str
    baseline: str
    value: str
    size: Number
    threshold: float


class Curve(TypedDict):
    """One stream of a training and of its baseline; long ones are thinned, extremes stay."""

    stream: str
    stage: str
    baseline_steps: list[int]
    baseline: list[Number]
    steps: list[int]
    values: list[Number]


class Profile(TypedDict):
    """The deviation of each step that comes closest to its threshold, or exceeds it most."""

    steps: list[int]
    sizes: list[Number]
    thresholds: list[float]


class Training(TypedDict):
    """A training held against its baseline."""

    name: str
    data: str
    precision: str
    device: str
    steps: int
    first: First | None
    largest: Number
    num_deviations: int
    num_values: int
    num_streams: int
    unchanged: list[str]
    renamed: list[Change]
    environment: list[Change]
    recipe: list[Change]
    curves: list[Curve]
    profile: Profile


class Figure(TypedDict):
    """A figure held against its baseline, in grey levels; pictures are paths below the folder of the results."""

    rms: Number | None
    tolerance: float
    baseline: str
    result: str


class Result(TypedDict):
    """What one check found.

    `margin` is the share of its threshold that the largest deviation takes: 0 is equal, above 1 is beyond; None where
    nothing could be compared; `history` holds those of earlier runs, oldest first. `verdict` is that of the comparison,
    or "error". `passed` also depends on --strict.
    """

    kind: Literal["training", "figure", "error"]
    test: str
    name: str
    file: str
    line: int
    verdict: Literal["same", "drift", "different", "error"]
    passed: bool
    margin: Number | None
    text: str
    accept: str
    history: list[Number]
    training: Training | None
    figure: Figure | None


def plain(value: float) -> Number:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else str(value)
