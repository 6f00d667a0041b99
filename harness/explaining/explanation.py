"""Why two commits train differently: the first operation that differs, and the edits that had to do with it."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.comparing.comparison import Comparison, compare
from harness.explaining.edited import given, said_anew
from harness.explaining.hunks import At, Changes, Hunk
from harness.explaining.traced import Traced
from harness.explaining.where import Where, compared_parts, where
from harness.record import Baseline, Record


@dataclass(frozen=True)
class Side:
    """One of two commits' trainings.

    Args:
        record: of it.
        traced: its operations and lines, in the steps around the divergence.
    """

    record: Record
    traced: Traced


class Edit(NamedTuple):
    """A place that was edited, and that ran or was read.

    Args:
        hunk: what git says of it; None for lines that are as they were, and ran in one of the trainings only.
        now: its first line that ran; None if there is none.
        then: likewise of the former training.
    """

    hunk: Hunk | None
    now: At | None
    then: At | None


@dataclass(frozen=True)
class Explanation:
    """Why the training of a commit is another now.

    Args:
        comparison: of the two, both run on this machine.
        now: the first operation of the present training that differs; None if none is known.
        then: that of the former one.
        edits: what else differs of what ran before, the likeliest cause first.
        error: why a training could not be traced; empty if both were.
    """

    comparison: Comparison
    now: Where | None
    then: Where | None
    edits: Sequence[Edit]
    error: str


def explain(baseline: Baseline, then: Side, now: Side, changes: Changes) -> Explanation:
    """Hold the training of a commit against the present one.

    Args:
        baseline: whose thresholds and gate count.
        then: the training of the commit.
        now: the present one.
        changes: since the commit.
    """
    comparison = compare(as_baseline(baseline, then), now.record)
    found = where(comparison, now.traced, is_here=True)
    backwards = compare(as_baseline(baseline, now), then.record)  # the same question
    former = where(backwards, then.traced, is_here=True)
    evidence = _Evidence(comparison, then.traced, now.traced, found, former, changes)
    its = former if _is_its(former, found, changes) else None
    return Explanation(comparison, found, its, _edits(evidence.clues()), now.traced.error or then.traced.error)


def _is_its(former: Where | None, now: Where | None, changes: Changes) -> bool:
    """Tell whether a line of then is that of now, or one that is gone; else it is where an effect shows."""
    if not former:
        return False
    then = former.operation.places[0]
    here = now.operation.places[:1] if now else ()
    is_same = any(changes.former(place.file, place.line) == (then.file, then.line) for place in here)
    return is_same or changes.at(then.file, then.line, then=True) is not None


def as_baseline(baseline: Baseline, side: Side) -> Baseline:
    """Return a training as a baseline; on one machine low precision needs no thresholds."""
    calibration = None if side.record.is_low_precision else baseline.calibration
    return dataclasses.replace(baseline, record=side.record, trace=side.traced.whole, calibration=calibration)


class _Clue(NamedTuple):
    """A line, now or then, that may be to blame, and what changed there; None if it is as it was."""

    hunk: Hunk | None
    at: At
    then: bool


def _edits(clues: Iterable[_Clue]) -> list[Edit]:
    """Return the places of clues; lines that are as they were count only where nothing that was edited ran before."""
    found: dict[Hunk | None, Edit] = {}
    for hunk, at, then in clues:
        if hunk or not any(found):
            edit = found.setdefault(hunk, Edit(hunk, None, None))
            found[hunk] = edit._replace(
                now=edit.now or (None if then else at), then=edit.then or (at if then else None)
            )
    return [*found.values()]


@dataclass(frozen=True)
class _Evidence:
    """What is known of two trainings.

    Args:
        comparison: of them.
        then: the former one.
        now: the present one.
        found: the first operation of the present one that differs.
        former: that of the former one.
        changes: between their commits.
    """

    comparison: Comparison
    then: Traced
    now: Traced
    found: Where | None
    former: Where | None
    changes: Changes

    def clues(self) -> Iterator[_Clue]:
        """Yield what tells most first: the lines of the operation, values, lines that ran, files that were read.

        What ran as the project was imported comes last: a constant may be one that nothing uses.
        """
        near = compared_parts(self.comparison, self.now)
        yield from self._of_places()
        yield from self._of_values()
        yield from self._of_lines(near, self.found, self.former)
        yield from self._of_files()
        if "start" not in near:  # it may be made ready long before
            yield from self._of_lines(["start"], None, None)
        yield from (clue for clue in self._of_lines(["import"], None, None) if clue.hunk)

    def _of_places(self) -> Iterator[_Clue]:
        for found, then in ((self.found, False), (self.former, True)):
            for place in found.places if found else ():
                if hunk := self.changes.at(place.file, place.line, then=then):
                    yield _Clue(hunk, At(place.file, place.line), then)

    def _of_values(self) -> Iterator[_Clue]:
        """Yield the changed lines that hold a value that is another now, and then those that name it."""
        values = [*given(self.comparison, self.found)]
        for _, hunk, (_, before, now) in said_anew(self._hunks(), values):
            yield from _of_hunk(hunk, before, now)
        for hunk, (name, _, _) in itertools.product(self._hunks(), values):
            yield from _of_hunk(hunk, name, name) if name else ()

    def _hunks(self) -> list[Hunk]:
        """Return those of code and of files that were read."""
        return [
            hunk for hunk in self.changes.hunks if (hunk.file or hunk.former).endswith(".py") or self._was_read(hunk)
        ]

    def _was_read(self, hunk: Hunk) -> bool:
        return hunk.file in self.now.read or hunk.former in self.then.read

    def _of_files(self) -> Iterator[_Clue]:
        for hunk in filter(self._was_read, self.changes.hunks):
            yield from _of_hunk(hunk)

    def _of_lines(self, parts: Sequence[str], found: Where | None, former: Where | None) -> list[_Clue]:
        """Return the lines that run now and are new or did not run then, and those that ran then likewise.

        What was edited comes first, and of that what did not run before, when nothing differed yet; of an edited branch
        that was taken it is what it decided.
        """
        here, there = ({*_before(side, parts, None)} for side in (self.now, self.then))
        now, then = _before(self.now, parts, found), _before(self.then, parts, former)
        clues = [self._of_line(at, then=False) for at in now if self.changes.former(*at) not in there]
        gone = [self._of_line(at, then=True) for at in then]
        clues += [clue for clue in gone if clue.hunk or self.changes.present(*clue.at) not in here]
        told = [clue for clue in clues if not _is_taken(clue, clues)]
        return sorted(told, key=lambda clue: (clue.hunk is None, -self._began(clue)))

    def _of_line(self, at: At, *, then: bool) -> _Clue:
        return _Clue(self.changes.at(*at, then=then), at, then)

    def _began(self, clue: _Clue) -> int:
        """Return the step of the part in which a line first ran."""
        parts = (self.then if clue.then else self.now).parts.values()
        return min(part.step for part in parts if any(clue.at == (line.file, line.line) for line in part.lines))


def _of_hunk(hunk: Hunk, before: str = "", now: str = "") -> Iterator[_Clue]:
    """Yield the first line that is new and the first that is gone; of those that hold a text, if one is given."""
    for text, then in ((now, False), (before, True)):
        if at := hunk.first(text, then=then):
            yield _Clue(hunk, at, then)


def _is_taken(clue: _Clue, clues: Iterable[_Clue]) -> bool:
    """Tell whether a clue is a branch, and another one stands in its body."""
    body = clue.hunk.decided(clue.at.line, then=clue.then) if clue.hunk else []
    return any((each.hunk, each.then) == (clue.hunk, clue.then) and each.at.line in body for each in clues)


def _before(traced: Traced, parts: Sequence[str], found: Where | None) -> Iterator[At]:
    """Yield the lines that had run when the first operation that differs did; all if none is known."""
    for name in (name for name in parts if name in traced.parts):
        part, row = traced.parts[name], found and name == found.part and found.operation
        ends = (at for at, each in enumerate(part.operations) if row and _is_same(each, row))
        end = next(ends, None)
        yield from (At(line.file, line.line) for line in part.lines if end is None or line.operations <= end)
        if end is not None:
            return


def _is_same(each: object, row: object) -> bool:
    return all(getattr(each, name) == getattr(row, name) for name in ("name", "number", "places"))
