"""Why two commits train differently: the first operation that differs, the lines that ran, and what changed there."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.comparing.comparison import Comparison, compare
from harness.explaining.hunks import Changes, Hunk
from harness.explaining.traced import Place, Ran, Traced
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


@dataclass(frozen=True)
class Explanation:
    """Why the training of a commit is another now.

    Args:
        comparison: of the two, both run on this machine.
        now: the first operation of the present training that differs; None if none is known.
        then: that of the former one.
        ran: the first line that runs now, and that is new or did not run then; None if there is none.
        gone: likewise the first that ran then.
        hunks: what changed there, the likeliest cause first.
        error: why a training could not be traced; empty if both were.
    """

    comparison: Comparison
    now: Where | None
    then: Where | None
    ran: Ran | None
    gone: Ran | None
    hunks: Sequence[Hunk]
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
    found = where(comparison, now.traced)
    former = where(compare(as_baseline(baseline, now), then.record), then.traced)  # the same question, asked backwards
    near = compared_parts(comparison, now.traced)
    ran, gone = _lines(then, now, near, found, former, changes)
    if not (ran or gone) and "start" not in near:  # it may be made ready long before
        ran, gone = _lines(then, now, ["start"], None, None, changes)
    hunks = dict.fromkeys(_hunks(comparison, found, former, ran, gone, changes))
    its = former if _is_its(former, found, changes) else None
    return Explanation(comparison, found, its, ran, gone, [*hunks], now.traced.error or then.traced.error)


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


def _lines(
    then: Side, now: Side, parts: Sequence[str], found: Where | None, former: Where | None, changes: Changes
) -> tuple[Ran | None, Ran | None]:
    """Return the first line that runs now and is new or did not run then, and the first that ran then likewise."""
    lines = [*_before(now.traced, parts, found)], [*_before(then.traced, parts, former)]
    here, there = ({(line.file, line.line) for line in _before(side.traced, parts, None)} for side in (now, then))
    ran = (line for line in lines[0] if changes.former(line.file, line.line) not in there)
    gone = (line for line in lines[1] if _is_gone(line, here, changes))
    return next(ran, None), next(gone, None)


def _before(traced: Traced, parts: Sequence[str], found: Where | None) -> Iterator[Ran]:
    """Yield the lines that had run when the first operation that differs did; all if none is known."""
    for part in (traced.parts[name] for name in parts if name in traced.parts):
        row = found and found.operation
        ends = (at for at, each in enumerate(part.operations) if row and _is_same(each, row))
        end = next(ends, None)
        yield from (line for line in part.lines if end is None or line.operations <= end)
        if end is not None:
            return


def _is_same(each: object, row: object) -> bool:
    return all(getattr(each, name) == getattr(row, name) for name in ("name", "number", "places"))


def _is_gone(line: Ran, present: set[tuple[str, int]], changes: Changes) -> bool:
    """Tell whether a line that ran then was taken out, or does not run now."""
    if changes.at(line.file, line.line, then=True):
        return True
    return changes.present(line.file, line.line) not in present


def _hunks(
    comparison: Comparison,
    now: Where | None,
    then: Where | None,
    ran: Ran | None,
    gone: Ran | None,
    changes: Changes,
) -> Iterator[Hunk]:
    """Yield what changed: where the operations are called, the constants that they take, the lines that ran."""
    for found, former in ((now, False), (then, True)):
        places: list[Place | Ran] = [*_places(found)]
        yield from filter(None, (changes.at(place.file, place.line, then=former) for place in places))
    words = [re.findall(r"\w+", name)[-1] for name, _, _ in (now.constants if now else ())]
    cause = comparison.cause
    words += [cause.stream.entry or cause.stream.tensor] if cause and cause.stream.kind in ("setting", "config") else []
    yield from (hunk for word in words for hunk in changes.hunks if hunk.names(word))
    for line, former in ((ran, False), (gone, True)):
        if line and (hunk := changes.at(line.file, line.line, then=former)):
            yield hunk


def _places(found: Where | None) -> Iterator[Place]:
    if found:
        yield from found.operation.places
        yield from filter(None, [found.operation.built])
        yield from found.returned[0].places if found.returned else ()
