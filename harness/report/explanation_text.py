"""Why a training is another than at a commit, in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.comparing.comparison import Comparison
from harness.explaining.explanation import Explanation
from harness.explaining.git import Commit
from harness.explaining.hunks import Hunk
from harness.explaining.lines import HOUSE
from harness.explaining.traced import Place, Ran
from harness.inert import inert_line
from harness.report.comparison_text import changed_text, failure
from harness.report.where_text import unknown_text, where_text
from harness.report.words import ago


_HUNKS = 3
"""That are shown."""
_LONGEST = 40
"""Lines of one that are."""
_GAP = " " * 6
_NO_OPERATION = "no operation of torch differs before what differs"


def explanation_text(found: Explanation, test: str, commit: Commit | None, here: Path, there: Path) -> str:
    """Return what differs first, the lines of code now and then, and what changed there.

    Args:
        found: what is told.
        test: its id.
        commit: that the training was held against.
        here: root of the project.
        there: its root in the commit's tree.
    """
    lines = ("runs now", found.ran, here), ("ran then", found.gone, there)
    ran = [(label, _line(line, root)) for label, line, root in lines if line]
    unknown = unknown_text(found.error or _NO_OPERATION * (not ran))
    rows = [
        ("where", where_text(found.now) if found.now else unknown),
        ("now", _line(found.now.operation.places[0], here) if found.now else ""),
        ("then", _line(found.then.operation.places[0], there) if found.then else ""),
    ]
    told = {text for _, text in rows}
    rows += [(label, text) for label, text in ran if text not in told]
    if not found.comparison.deviations:
        return _rows(found.comparison, test, commit, "trains as the present code does", [])
    return "\n".join([_rows(found.comparison, test, commit, "", rows), *_diff(found.hunks)])


def environment_text(
    comparison: Comparison, test: str, commit: Commit | None, others: Sequence[str], origin: Mapping[str, str]
) -> str:
    """Say that a commit does not make its baseline here, and what is to blame.

    Args:
        comparison: of the baseline with the commit's training.
        test: its id.
        commit: of the baseline.
        others: files that the baseline was made from, and that the commit has otherwise.
        origin: of what runs here.
    """
    if others:
        return _rows(comparison, test, commit, f"has other code than its baseline: {', '.join(others)}", [])
    around = changed_text(comparison, {name: text for name, text in origin.items() if name != "commit"})
    says = "differs from its baseline on this machine, too: what is around the code has changed"
    return _rows(comparison, test, commit, says, [("changed", around or "nothing that the baseline knows of")])


def _rows(comparison: Comparison, test: str, commit: Commit | None, says: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return the headline of a failure, and labelled lines."""
    about = f'{commit.id} "{commit.subject}", {ago(commit.when)}' if commit else ""
    shown = [("test", test), ("commit", ", ".join(filter(None, [about, says]))), *rows]
    headline = failure(comparison).partition("\n")[0]
    return "\n".join([headline, *(f"  {label:<9}  {inert_line(text)}" for label, text in shown if text)])


def _line(place: Place | Ran, root: Path) -> str:
    """Return file, line and its text."""
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
