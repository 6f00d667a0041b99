"""Which line was edited so that it holds a value as it is now, and no more as it was."""

import itertools
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.explaining.hunks import At, Hunk
from harness.explaining.related import Span
from harness.explaining.traced import Place, is_seed
from harness.explaining.where import Where, said


_GIVEN = ("setting", "config", "learning_rate", "loader")
"""Streams of values that may stand in a file."""


class Given(NamedTuple):
    """A value that is another now: what it is called, if that is known, its former and its present text."""

    name: str
    before: str
    now: str


class Edited(NamedTuple):
    """Where a value is another now; or an edited line, and how it has to do with what differs: `called from`.

    With neither, the line behind which lines are gone.
    """

    at: At
    value: Given | None
    how: str = ""


def given(comparison: Comparison, found: Where | None) -> Iterator[Given]:
    """Yield the constants, seeds and settings that are others now."""
    for name, before, now in found.constants if found else ():
        yield Given(re.findall(r"\w+", name)[-1], before.strip("'") or "''", now.strip("'") or "''")
    if found and found.number is not None and is_seed(found.operation.name):
        yield Given("", f"{found.number:.0f}", f"{found.operation.number:.0f}")
    if comparison.first:
        yield from (value for value in _settings(comparison.first) if value.before != value.now)


def _settings(each: Deviation) -> Iterator[Given]:
    if each.stream.kind == "module":
        before, now = said(each.baseline), said(each.value)
        yield from (Given(name, before[name], now[name]) for name in before.keys() & now.keys())
    elif each.stream.kind in _GIVEN:
        name = "" if each.stream.kind == "learning_rate" else each.stream.entry or each.stream.tensor
        yield Given(name, str(each.baseline), str(each.value))


def edited(
    hunks: Sequence[Hunk],
    values: Sequence[Given],
    named: Container[str] = (),
    around: Sequence[Place] = (),
    spans: Sequence[Span] = (),
) -> Edited | None:
    """Return the line that is new and holds a value as it is now, where one is gone that held it as it was.

    Where none does, or several, the line that gives another plain value to a name that a line which differs uses; or
    else, unless such a line is new itself, the first new one that had it run, or the one that has to do with it.

    Args:
        hunks: of what has changed.
        values: that are others now.
        named: words of the lines that differ.
        around: the line that differs first, and those that had it run.
        spans: lines that have to do with it.
    """
    return _only(said_anew(hunks, values)) or _only(_renewed(hunks, named)) or _other(hunks, around, spans)


def _other(hunks: Sequence[Hunk], around: Sequence[Place], spans: Iterable[Span]) -> Edited | None:
    new = [any(place.file == hunk.file and place.line in hunk.added for hunk in hunks) for place in around]
    if not any(new):
        return _within(hunks, spans)
    first = new.index(True)
    return Edited(At(around[first].file, around[first].line), None, "called from") if first else None


def _within(hunks: Sequence[Hunk], spans: Iterable[Span]) -> Edited | None:
    """Return the first line of the one hunk that has lines of some spans, or had; None where several have."""
    found: dict[Hunk, Edited] = {}
    for span, hunk in itertools.product(spans, hunks):
        gap = hunk.spans[1].start
        lines = [line for line in hunk.added or (gap, gap + 1) if line in span.lines and span.file == hunk.file]
        if lines:
            line, how = (lines[0], span.how) if hunk.added else (max(1, gap), "")
            found.setdefault(hunk, Edited(At(hunk.file, line), None, how))
    return found.popitem()[1] if len(found) == 1 else None


def _only(found: Iterable[tuple[At, Hunk, Given]]) -> Edited | None:
    lines: dict[At, Edited] = {}
    for at, _, value in found:
        lines.setdefault(at, Edited(at, value))
    return lines.popitem()[1] if len(lines) == 1 else None


def _renewed(hunks: Sequence[Hunk], named: Container[str]) -> Iterator[tuple[At, Hunk, Given]]:
    for hunk in hunks:
        for at, name, before, now in hunk.settings:
            if name in named:
                yield at, hunk, Given(name, before, now)


def said_anew(hunks: Sequence[Hunk], values: Sequence[Given]) -> Iterator[tuple[At, Hunk, Given]]:
    """Yield the new lines that hold a value as it is now, where one of their hunk is gone that held it as it was."""
    for hunk, value in itertools.product(hunks, values):
        if hunk.first(value.before, then=True) and (at := hunk.first(value.now)):
            yield at, hunk, value
