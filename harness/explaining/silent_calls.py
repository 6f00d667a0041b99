"""Calls that no operation shows, since they compute nothing: which one is made more often than before, or no more."""

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from msgspec import structs

from harness.explaining.matched import without
from harness.explaining.traced import BATCH, Operation, is_call, is_returned
from harness.record.trace import Operations


def is_aside(name: str) -> bool:
    """Tell whether a name stands for no operation, but for what a function returned, or for such a call."""
    return is_returned(name) or is_call(name)


def first_other(kept: Operations, rows: Sequence[Operation], ends: tuple[str, ...]) -> tuple[Operation, str] | None:
    """Return the first call of some functions that is new, or that is gone; None if as many are made as before.

    Args:
        kept: the baseline's operations.
        rows: the present ones.
        ends: what the functions' names end with.

    Returns:
        The call and an empty text; or what is beside a call that is gone, and that one's name.
    """
    before = [name for name in kept.names if not _is_mark(name)]
    rows = without(rows, lambda row: _is_mark(row.name))
    now = [row.name for row in rows]
    then, present = _counted(before, ends), _counted(now, ends)
    for tag, old, old_end, start, end in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        gone = [name for name in before[old:old_end] if tag != "equal" and _called(name) in then - present]
        new = [row for row in rows[start:end] if tag != "equal" and _called(row.name) in present - then]
        if gone or new:
            return (_beside(rows, start, gone[0]), gone[0]) if gone else (new[0], "")
    return None


def _is_mark(name: str) -> bool:
    return is_returned(name) or name == BATCH


def _counted(names: Iterable[str], ends: tuple[str, ...]) -> Counter[str]:
    return Counter(_called(name) for name in names if is_call(name) and _called(name).endswith(ends))


def _called(name: str) -> str:
    return name.partition(" in ")[0]


def _beside(rows: Sequence[Operation], at: int, gone: str) -> Operation:
    """Return the row that is nearest to the place of a call that is gone and ran in its function, or the one before."""
    function = gone.partition(" in ")[2]
    for index in sorted(range(len(rows)), key=lambda index: abs(index - at + 0.5)):
        places = [place for place in rows[index].places if place.function == function]
        if places and not rows[index].backward:
            return structs.replace(rows[index], places=tuple(places), built=None)
    return rows[max(0, at - 1)]
