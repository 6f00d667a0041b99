"""A few lines of code around a place, with what changed in them: what a person wants to see of a cause."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from harness.explaining.blame import Changed
from harness.explaining.git import Git
from harness.recording.project_files import is_of


MOST_LINES = 24
"""Of one excerpt."""
_AROUND = 2
"""Lines before and after the one that is meant."""
_LONGEST = 160
"""Characters of a line."""
_LARGEST = 2**20
"""Bytes of a file in which lines are looked for."""
_FILES = 2
"""That are shown where the line itself is as it was."""


class CodeLine(Struct, frozen=True, forbid_unknown_fields=True):
    """A line: its number now, 0 if it is gone; whether it is new or gone; its text."""

    number: Annotated[int, Meta(ge=0, lt=2**53)]
    mark: Literal["", "+", "-"]
    text: str


class Excerpt(Struct, frozen=True, forbid_unknown_fields=True):
    """Lines of a file, from the project's root, around one of them."""

    file: str
    line: Annotated[int, Meta(ge=1, lt=2**53)]
    lines: Annotated[list[CodeLine], Meta(max_length=MOST_LINES)]

    @property
    def is_changed(self) -> bool:
        """Whether any of the lines is new or gone."""
        return any(line.mark for line in self.lines)


def excerpts(git: Git, base: str, where: str, changed: Sequence[Changed]) -> list[Excerpt]:
    """Return the lines around a place; if none of them changed, also the first ones that did in the likeliest files.

    Args:
        git: of the project; nothing outside it is read.
        base: commit that has the code as it was; empty if none is known.
        where: file and line, as `models/net.py:42`; empty if that is not known.
        changed: files that changed since, the likeliest cause first.
    """
    file, _, number = where.rpartition(":")
    former = {each.path: each.former or each.path for each in changed}
    found = [_excerpt(git, base, file, former.get(file, ""), int(number))] if file else []
    if not any(each and each.is_changed for each in found):
        found += [_excerpt(git, base, each.path, former[each.path]) for each in changed[:_FILES] if base]
    return [each for each in found if each]


def _excerpt(git: Git, base: str, file: str, former: str, line: int = 0) -> Excerpt | None:
    """Return what surrounds a line, or without one, what changed first; None if nothing did, or it cannot be shown."""
    path = (git.root / file).resolve()
    if not (is_of(git.root.resolve(), path) and path.is_file() and path.stat().st_size < _LARGEST):
        return None
    now = _lines(path)
    then = git.text(base, former) if former else None
    rows = [*_rows(now if then is None else then.splitlines(), now)]
    line = line or next((max(1, row.number) for row in rows if row.mark == "+"), 0)
    line = line or next((index or 1 for index, row in enumerate(rows) if row.mark), 0)
    shown = _window(rows, line)
    return Excerpt(file, line, shown[:MOST_LINES]) if line and shown else None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _rows(then: Sequence[str], now: Sequence[str]) -> Iterator[CodeLine]:
    """Yield the lines of now, each removed one before what took its place."""
    for tag, first, last, start, stop in SequenceMatcher(None, then, now).get_opcodes():
        if tag != "equal":
            yield from (CodeLine(0, "-", text[:_LONGEST]) for text in then[first:last])
        mark: Literal["", "+"] = "" if tag == "equal" else "+"
        yield from (CodeLine(number + 1, mark, now[number][:_LONGEST]) for number in range(start, stop))


def _window(rows: list[CodeLine], line: int) -> list[CodeLine]:
    """Return the lines near one, and the removed ones among and right before them."""
    near = [index for index, row in enumerate(rows) if row.number and abs(row.number - line) <= _AROUND]
    if not near:
        return []
    first, last = near[0], near[-1]
    while first and rows[first].mark and rows[first - 1].mark == "-":
        first -= 1
    return rows[first : last + 1]
