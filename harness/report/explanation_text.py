"""Why a training is another than at a commit, in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.comparing.comparison import Comparison
from harness.explaining.explanation import Edit, Explanation
from harness.explaining.git import Commit
from harness.explaining.hunks import At, Hunk
from harness.explaining.lines import HOUSE
from harness.explaining.traced import Place
from harness.inert import inert_line
from harness.report.comparison_text import changed_text, failure
from harness.report.where_text import unknown_text, where_text
from harness.report.words import ago, rows_text


_HUNKS, _PLACES = 3, 6
"""Changes that are shown, and places that are named."""
_LONGEST = 40
"""Lines of one that are."""
_GAP = " " * 6
_NO_OPERATION = "no operation of torch differs before what differs"


@dataclass(frozen=True)
class About:
    """What is told of."""

    test: str  # id of the test
    commit: Commit | None  # that its training was held against
    against: str = ""  # what a user calls that; empty if it is the commit of a stored baseline
    lent: Sequence[str] = ()  # today's test files, which the commit lacks


def explanation_text(found: Explanation, about: About, here: Path, there: Path) -> str:
    """Return what differs first, the lines of code now and then (below `here` and `there`), and what changed there."""
    if not found.comparison.deviations:
        return _rows(found.comparison, about, "trains as the present code does", [])
    unknown = unknown_text(found.error or _NO_OPERATION * (not found.edits))
    rows = [
        ("where", where_text(found.now) if found.now else unknown),
        ("now", _line(found.now.operation.places[0], here) if found.now else ""),
        ("then", _line(found.then.operation.places[0], there) if found.then else ""),
    ]
    told = {text for _, text in rows}
    edited = [row for edit in found.edits[:_PLACES] for row in _edit_rows(edit, here, there) if row[1] not in told]
    around = ("around", changed_text(found.comparison, {}, about.against))
    rows_ = _rows(found.comparison, about, "", [*rows, *edited, around])
    return "\n".join([rows_, *_diff([edit.hunk for edit in found.edits if edit.hunk])])


def _edit_rows(edit: Edit, here: Path, there: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of a place, now and then: what Python runs, or what a training reads."""
    for at, root, runs, reads in (
        (edit.now, here, "runs now", "reads now"),
        (edit.then, there, "ran then", "read then"),
    ):
        if at:
            yield runs if at.file.endswith(".py") else reads, _line(at, root)


def environment_text(comparison: Comparison, about: About, others: Sequence[str], origin: Mapping[str, str]) -> str:
    """Say that a commit does not make its baseline here, and what is to blame: its other sources, or what is around."""
    if others:
        return _rows(comparison, about, f"has other code than its baseline: {', '.join(others)}", [])
    around = changed_text(comparison, {name: text for name, text in origin.items() if name != "commit"})
    says = "differs from its baseline on this machine, too: what is around the code has changed"
    return _rows(comparison, about, says, [("changed", around or "nothing that the baseline knows of")])


def _rows(comparison: Comparison, about: About, says: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return the headline of a failure, and labelled lines."""
    commit, lent = about.commit, f"with today's {', '.join(about.lent)}" if about.lent else ""
    named = f'{commit.id} "{commit.subject}", {ago(commit.when)}' if commit else ""
    shown = [("test", about.test), ("commit", ", ".join(filter(None, [named, lent, says]))), *rows]
    headline = failure(comparison, against=about.against).partition("\n")[0]
    return rows_text(headline, shown)


def _line(place: Place | At, root: Path) -> str:
    """Return file, line and its text; of what is no text, the file."""
    if not place.line:
        return place.file
    for folder in (root, HOUSE):
        try:
            text = (folder / place.file).read_text(encoding="utf-8").splitlines()[place.line - 1].strip()
        except (OSError, ValueError, IndexError):
            continue
        return f"{place.file}:{place.line}{_GAP}{text}"
    return f"{place.file}:{place.line}"


def _diff(hunks: Sequence[Hunk]) -> Iterator[str]:
    """Yield the first hunks, each below the name of its file."""
    for hunk in hunks[:_HUNKS]:
        yield f"  changed    {inert_line(' -> '.join(dict.fromkeys(filter(None, (hunk.former, hunk.file)))))}"
        lines = hunk.text.splitlines()
        cut = [f"and {len(lines) - _LONGEST} lines more"] * (len(lines) > _LONGEST)
        yield from (f"             {inert_line(line)}".rstrip() for line in [*lines[:_LONGEST], *cut])
    if len(hunks) > _HUNKS:
        yield f"  changed    and {len(hunks) - _HUNKS} places more"
