"""What a traced training did: its operations, and the lines that asked for them. No torch."""

from collections import Counter
from collections.abc import Container, Iterable
from typing import Self

from msgspec import Struct, structs

from harness.record.trace import OF_A_LINE, Operations, Trace, packed


GIVEN = "call of the model"
"""Stands for an operation: what a model is given, with which weights, and whether it trains."""
CALL = "call of "
"""What stands for one begins with it, too: a call that sets a mode, zeroes gradients or moves a schedule."""
BATCH = f"{CALL}Recorder.batch"
"""Stands for the place where a batch is ready."""
_LARGEST = 8192
"""Characters of a baseline's trace."""
_REST = "the rest of the line"
"""Stands for the operations that a line asked for beyond its first."""
_FORMS = (
    (True, OF_A_LINE, 5000),
    (False, OF_A_LINE, 5000),
    (False, 100, 5000),
    (False, 30, 5000),
    (False, 10, 600),
    (False, 10, 200),
)
"""What is kept of a part, the first that fits: whether its backward operations, how many of those that one line asked
for, in a loop over samples, say, before the rest of the line is one, and how many in all."""


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


class Built(Struct, frozen=True, array_like=True):
    """Who built something of a library's.

    Args:
        places: the line where the call begins, and the one outside of its function, if one is known.
        arguments: name and line of what it was given by name.
    """

    places: tuple[Place, ...]
    arguments: tuple[tuple[str, int], ...]

    def naming(self, constants: Iterable[str]) -> Self:
        """Return it with the names of constants that it has to do with."""
        line, *around = self.places
        return type(self)((structs.replace(line, constants=(*line.constants, *constants)), *around), self.arguments)

    def at(self, names: Container[str]) -> tuple[Place, ...]:
        """Return its places; the first at the line of an argument, if one of these names is given."""
        line, *around = self.places
        given = (number for name, number in self.arguments if name in names)
        return structs.replace(line, line=next(given, line.line)), *around


class Operation(Struct, frozen=True, array_like=True):
    """An operation that ran.

    Args:
        name: `aten.relu`; `rate()` and `rate(...)` stand for what a function of the project returned, was given.
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


def step_name(step: int) -> str:
    """Return what the part of a step is called; the first reaches back to the start of the training."""
    return f"step {step}" if step > 0 else "start"


def is_returned(name: str) -> bool:
    """Tell whether a name stands for what a function of the project returned, or was given."""
    return name.endswith(")")


def is_seed(name: str) -> bool:
    """Tell whether what is returned is the seed that a generator was given."""
    return name.endswith((".manual_seed()", ".seed()", ".default_rng()"))


def is_call(name: str) -> bool:
    """Tell whether a name stands for a call that computes nothing, `call of SGD.zero_grad in train`."""
    return name.startswith(CALL) and name != GIVEN


class Ran(Struct, frozen=True, array_like=True):
    """A line of the project that ran, and how many operations of its part had run before it first did."""

    file: str
    line: int
    operations: int


class Part(Struct, frozen=True):
    """The operations of a part of a training, the step in which, or after which, they ran, and the lines that ran.

    Lines are in the order in which they first ran, those up to the next traced step, and known only where a step was
    asked for.
    """

    step: int
    operations: list[Operation]
    lines: list[Ran] = []

    def kept(self, backward: bool, of_a_line: int, most: int) -> Operations:
        """Return what a baseline keeps of it."""
        rows = folded(self.operations, of_a_line)
        shown = [operation for operation in rows if backward or not operation.backward]
        names, numbers = [each.name for each in shown[:most]], [each.number for each in shown[:most]]
        return Operations(self.step, names, numbers, backward, len(shown) > most, of_a_line)


def folded(operations: Iterable[Operation], of_a_line: int) -> list[Operation]:
    """Return operations; what a line asks for beyond its first ones is one, whose number is the sum of theirs.

    So no long loop takes the room of what comes after it, and what is made of its results is still made of its line.
    """
    rows: list[Operation] = []
    places: list[int] = []  # of the operations among the rows
    asked = Counter[tuple[tuple[Place, ...], bool]]()
    rests: dict[tuple[tuple[Place, ...], bool], int] = {}
    for each in operations:
        line = each.places[:1], each.backward
        asked[line] += 1
        is_more = asked[line] > of_a_line and not (is_returned(each.name) or each.name.startswith(CALL))
        places.append(rests.setdefault(line, len(rows)) if is_more else len(rows))
        inputs = tuple(sorted({places[one] for one in each.inputs} - {places[-1]}))
        row = structs.replace(each, name=_REST if is_more else each.name, inputs=inputs)
        if places[-1] < len(rows):
            rows[places[-1]] = _united(rows[places[-1]], row)
        else:
            rows.append(row)
    return rows


def _united(rest: Operation, other: Operation) -> Operation:
    """Return two rows of a line as one."""
    number, inputs = rest.number + other.number, tuple(sorted({*rest.inputs, *other.inputs}))
    return structs.replace(rest, number=number, inputs=inputs, built=None, draws=rest.draws or other.draws)


class Traced(Struct, frozen=True):
    """The trace of a training that was run again for it.

    Args:
        torch: its version.
        parts: "start" and "evaluation"; or "import", "start" and `step_name` of the steps that were asked for.
        constants: as of a `Trace`.
        error: why it is none, or no whole one; empty if it is.
        built: who built modules, optimizers and data loaders, by kind and name of their streams, where that is known.
        schedules: who built the schedules of rates, in order.
        read: the project's files of data that were read until it ended, in order; known where a step was asked for.
    """

    torch: str
    parts: dict[str, Part]
    constants: dict[str, str]
    error: str = ""
    built: dict[str, Built] = {}
    schedules: list[Built] = []
    read: list[str] = []

    @classmethod
    def failed(cls, reason: str) -> Self:
        """Return the trace of a training that could not be traced."""
        return cls("", {}, {}, reason)

    @property
    def whole(self) -> Trace:
        """All of it, as if a baseline had room for that."""
        parts = {name: part.kept(True, OF_A_LINE, len(part.operations)) for name, part in self.parts.items()}
        return Trace(self.torch, parts, self.constants)

    @property
    def kept(self) -> Trace | None:
        """What a baseline keeps of it, as much as it has room for; None of one that failed."""
        if self.error:
            return None
        for form in _FORMS:
            parts = {name: part.kept(*form) for name, part in self.parts.items()}
            if sum(len(packed(part)) for part in parts.values()) <= _LARGEST:
                break
        return Trace(self.torch, parts, self.constants)
