"""What the checks of a session found, as plain data that JSON can hold."""

from harness.results.check import Check, error_result, figure_result, margin_of, training_result
from harness.results.parts import FORMAT, Change, Curve, Figure, First, Number, Profile, Result, Training, plain
from harness.results.store import collect, keep, to_text, write


__all__ = [
    "FORMAT",
    "Change",
    "Check",
    "Curve",
    "Figure",
    "First",
    "Number",
    "Profile",
    "Result",
    "Training",
    "collect",
    "error_result",
    "figure_result",
    "keep",
    "margin_of",
    "plain",
    "to_text",
    "training_result",
    "write",
]
