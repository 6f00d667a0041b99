"""Why a training is another than at a commit, in words."""

from collections.abc import Iterator
from pathlib import Path

from harness.explaining.explanation import Explanation
from harness.explaining.git import Commit
from harness.explaining.hunks import Hunk
from harness.explaining.lines import HOUSE
from harness.explaining.traced import Place, Ran
from harness.explaining.where import Where
from harness.inert import inert_line
from harness.report.comparison_text import failure
from harness.report.where_text import unknown_text, where_text
from harness.report.words import ago


_HUNKS = 3
_LONGEST = 40
"""Lines of a hunk."""


def explanation_text(found: Explanation, test: str, commit: Commit | None, says: str, root: Path, then: Path) -> str:
    """Return what differs first, the two lines of code, and what changed there.

    Args:
        found: what is told.
        test: its id.
        commit: that the training was held against.
        says: what is known of that.
        root: of the project here.
        then: of the project in the commit's tree.
    """
    rows = [
        ("test", test),
        ("commit", ", ".join(filter(None, [_commit(commit), says]))),
        ("where", where_text(found.now) if found.now else unknown_text(_unknown(found))),
        ("now", _at(found.now, root)),
        ("then", _at(found.then, then)),
        ("runs now", _ran(found.ran, root)),
        ("ran then", _ran(found.gone, then)),
    ]
    told = {place for place in map(_place, (found.now, found.then)) if place}
    shown = [
        (label, text)
        for label, text in rows
        if text and not (label in ("runs now", "ran then") and _is_told(text, told))
    ]
    headline = failure(found.comparison).partition("\n")[0]
    lines = [headline, *(f"  {label:<9}  {inert_line(text)}" for label, text in shown)]
    return "\n".join([*lines, *_diff(found)])


def _unknown(found: Explanation) -> str:
    return "no operation of torch differs before what differs"


def _is_told(text: str, told: set[str]) -> bool:
    return text.partition(" ")[0] in told


def _place(found: Where | None) -> str:
    return found.line if found else ""


def _commit(commit: Commit | None) -> str:
    return f'{commit.id} "{commit.subject}", {ago(commit.when)}' if commit else ""


def _at(found: Where | None, root: Path) -> str:
    return _line(found.operation.places[0], root) if found else ""


def _ran(line: Ran | None, root: Path) -> str:
    return _line(line, root) if line else ""


def _line(place: Place | Ran, root: Path) -> str:
    """Return file, line and its text."""
    return f"{place.file}:{place.line}      {_source(root, place.file, place.line)}".rstrip()


def _source(root: Path, file: str, line: int) -> str:
    for folder in (root, HOUSE):
        try:
            return (folder / file).read_text(encoding="utf-8").splitlines()[line - 1].strip()
        except (OSError, ValueError, IndexError):
            continue
    return ""


def _diff(found: Explanation) -> Iterator[str]:
    for hunk in found.hunks[:_HUNKS]:
        yield f"  {'changed':<9}  {inert_line(_name(hunk))}"
        lines = hunk.text.splitlines()
        yield from (f"             {inert_line(line)}".rstrip() for line in lines[:_LONGEST])
        if len(lines) > _LONGEST:
            yield f"             and {len(lines) - _LONGEST} lines more"
    if len(found.hunks) > _HUNKS:
        yield f"  {'changed':<9}  and in {len(found.hunks) - _HUNKS} places more"


def _name(hunk: Hunk) -> str:
    return " -> ".join(dict.fromkeys(filter(None, (hunk.former, hunk.file))))
