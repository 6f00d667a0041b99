"""What a traced training did: its operations, and the lines that asked for them. No torch."""

from typing import Self

from msgspec import Struct

from harness.record.trace import Operations, Trace, packed


GIVEN = "call of the model"
"""Stands for an operation: what a model is given, with which weights, and whether it trains."""
_LARGEST = 8192
"""Characters of a baseline's trace."""
_FORMS = ((True, 5000), (False, 5000), (False, 600), (False, 200))
"""What is kept of a part, the first that fits: whether its backward operations, and how many of the others."""


class Place(Struct, frozen=True, array_like=True):
    """A line of the project.

    Args:
        file: relative to the project's root.
        line: 1-based.
        function: `Net.forward`.
        direct: whether the line outside of it, where one is known, calls the function itself, with no library between.
        constants: `FILE:NAME` of plain values of the module that the statement names.
    """

    file: str
    line: int
    function: str
    direct: bool = False
    constants: tuple[str, ...] = ()


class Operation(Struct, frozen=True, array_like=True):
    """An operation that ran.

    Args:
        name: `aten.relu`; `rate()` stands for what a function of the project returned.
        number: which tells its results from others: of a scalar itself, of a tensor near the mean of its sizes.
        inputs: the operations, by place in their list, whose results went into it.
        places: the lines that asked for it, the innermost first; of an operation of a backward pass, those that asked
            for its forward one.
        built: the line that built the module or optimizer of a library that it ran in, if it did in one.
        backward: whether it belongs to a backward pass.
        draws: whether it draws random numbers.
    """

    name: str
    number: float
    inputs: tuple[int, ...]
    places: tuple[Place, ...]
    built: Place | None
    backward: bool
    draws: bool = False


def is_returned(name: str) -> bool:
    """Tell whether a name stands for what a function of the project returned."""
    return name.endswith("()")


class Part(Struct, frozen=True):
    """The operations of a part of a training, and the step in which, or after which, they ran."""

    step: int
    operations: list[Operation]

    def kept(self, backward: bool, most: int) -> Operations:
        """Return what a baseline keeps of it."""
        shown = [operation for operation in self.operations if backward or not operation.backward]
        names, numbers = [each.name for each in shown[:most]], [each.number for each in shown[:most]]
        return Operations(self.step, names, numbers, backward, len(shown) > most)


class Traced(Struct, frozen=True):
    """The trace of a training that was run again for it.

    Args:
        torch: its version.
        parts: "start" and "evaluation".
        constants: as of a `Trace`.
        error: why it is none, or no whole one; empty if it is.
    """

    torch: str
    parts: dict[str, Part]
    constants: dict[str, str]
    error: str = ""

    @classmethod
    def failed(cls, reason: str) -> Self:
        """Return the trace of a training that could not be traced."""
        return cls("", {}, {}, reason)

    @property
    def kept(self) -> Trace | None:
        """What a baseline keeps of it, as much as it has room for; None of one that failed."""
        if self.error:
            return None
        for backward, most in _FORMS:
            parts = {name: part.kept(backward, most) for name, part in self.parts.items()}
            if sum(len(packed(part)) for part in parts.values()) <= _LARGEST:
                break
        return Trace(self.torch, parts, self.constants)
