"""Where a training leaves its baseline, in words: the line and the operation."""

from collections.abc import Iterator, Sequence

from harness.explaining.edited import Edited
from harness.explaining.traced import GIVEN, Place
from harness.explaining.where import Where
from harness.report.words import told_apart


_GAP = " " * 6


def unknown_text(reason: str, command: str = "") -> str:
    """Say why no line is known, and which command looks further; empty if there is neither."""
    known = f"no line is known: {reason}" if reason else "no line is known" * bool(command)
    return "; ".join(filter(None, [known, command and f"next: {command}"]))


def edited_text(edit: Edited, place: str, line: str) -> str:
    """Return a place with the line in which a value is another now; where no line is known, that line alone."""
    at = f"{edit.at.file}:{edit.at.line}"
    return place if line == at else f"{place}{_GAP}{_said(edit, at)}" if line else _said(edit, at)


def _said(edit: Edited, at: str) -> str:
    if edit.value:
        return f"{at} says {edit.value.now}, and said {edit.value.before}"
    return f"{edit.how} {at}, which was edited" if edit.how else f"lines are gone behind {at}"


def where_text(found: Where) -> str:
    """Return the line, who calls it, what differs there, and the constants and returned values that are others now."""
    operation = found.operation
    line, *around = operation.places
    texts = [f"{line.file}:{line.line} in {line.function}", *_around(line, around), *_built(operation.built, line)]
    constants = [f"{name} {before} -> {now}" for name, before, now in found.constants]
    return _GAP.join([", ".join(texts), *constants, _difference(found), *_returned(found)])


def _around(line: Place, around: Sequence[Place]) -> Iterator[str]:
    """Say who calls the function, unless that is a test or nobody."""
    for outer in around[:1] if line.direct else []:
        own = (outer.file, outer.line) == (line.file, line.line)  # of a comprehension, say
        if not (own or outer.function.rpartition(".")[2].startswith(("test_", "<module>"))):
            yield f"called at {outer.file}:{outer.line}"


def _built(built: Place | None, line: Place) -> list[str]:
    return [f"built at {built.file}:{built.line}"] if built and built.line != line.line else []


def _returned(found: Where) -> Iterator[str]:
    if found.returned:
        value, former = found.returned
        line = value.places[0]
        yield f"after {value.name} at {line.file}:{line.line} gave {_numbers(value.number, former)}"


def _difference(found: Where) -> str:
    operation, number = found.operation, found.number
    if not found.part:
        return operation.name
    if found.gone:
        return f"missing here: the baseline's {found.baseline}"
    if operation.name == GIVEN and number is not None:
        return "the model is called with other input, weights or mode"
    named = operation.backward and "backward" not in operation.name
    name = operation.name + " of the backward pass" * named
    if number is not None:
        return f"{name} gives {_numbers(operation.number, number)}"
    return f"now {name}{_GAP}baseline {found.baseline}" if found.baseline else f"{name}, which the baseline has not"


def _numbers(now: float, former: float) -> str:
    return "{}, baseline {}".format(*told_apart(now, former))
