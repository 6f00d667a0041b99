"""What the checks of a session found, as plain data that JSON can hold."""

from harness.results.check import (
    Check,
    equivalence_result,
    error_result,
    figure_result,
    margin_of,
    power_result,
    training_result,
)
from harness.results.parts import (
    FORMAT,
    Change,
    Curve,
    Faults,
    Figure,
    First,
    Number,
    Profile,
    Result,
    Training,
    Verdict,
    plain,
)
from harness.results.reading import read
from harness.results.store import collect, keep, ordered, to_text, write


__all__ = [
    "FORMAT",
    "Change",
    "Check",
    "Curve",
    "Faults",
    "Figure",
    "First",
    "Number",
    "Profile",
    "Result",
    "Training",
    "Verdict",
    "collect",
    "equivalence_result",
    "error_result",
    "figure_result",
    "keep",
    "margin_of",
    "ordered",
    "plain",
    "power_result",
    "read",
    "to_text",
    "training_result",
    "write",
]
