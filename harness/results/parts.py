"""The parts of a result: dictionaries, so that JSON holds them as they are. `results.schema.json` describes them."""

import math
from typing import Literal, TypedDict, cast


__all__ = [
    "FORMAT",
    "Change",
    "Curve",
    "Faults",
    "Figure",
    "First",
    "Number",
    "Profile",
    "Result",
    "Training",
    "Verdict",
    "plain",
]

FORMAT = 1
"""Version of the form that results have in JSON."""

Number = float | Literal["nan", "inf", "-inf"]
"""A finite number, or a name of what JSON has no number for. `float()` reads both."""

Verdict = Literal["same", "drift", "different", "error", "equivalent", "worse", "inconclusive", "caught", "escaped"]
"""The comparison's, or "error"; of several seeds, theirs; of planted faults, whether any escaped."""


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


class Faults(TypedDict):
    """Standard faults planted in a training: how many, how many the gate caught, the names of those that escaped."""

    planted: int
    caught: int
    escaped: list[str]


class Result(TypedDict):
    """What one check found.

    `margin` is the share of its threshold that the largest deviation takes: 0 is equal, above 1 is beyond; None where
    nothing was compared; `history` holds those of earlier runs, oldest first. `passed` also depends on --strict and
    --gate-power-min. `accept` is empty where nothing is to be accepted.
    """

    kind: Literal["training", "figure", "error", "equivalence", "power"]
    test: str
    name: str
    file: str
    line: int
    verdict: Verdict
    passed: bool
    margin: Number | None
    text: str
    accept: str
    history: list[Number]
    training: Training | None
    figure: Figure | None
    faults: Faults | None


def plain(value: float) -> Number:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else cast(Literal["nan", "inf", "-inf"], str(value))
