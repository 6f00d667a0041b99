"""The files that changed since a baseline was made, in words."""

from collections.abc import Iterator, Sequence

from harness.explaining.blame import Changed
from harness.report.words import ago


_SHOWN = 4
"""Files that a failure names."""


def blame_lines(changes: Sequence[Changed]) -> list[str]:
    """Return a line a file, of the first ones, and how many more there are; or that none has changed."""
    if not changes:
        return ["no file that the baseline was made from has changed"]
    several = len({each.commit.author for each in changes if each.commit}) > 1
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return [*(_line(each, several) for each in changes[:_SHOWN]), *more]


def _line(changed: Changed, names_author: bool) -> str:
    former = f"{changed.former} -> " if changed.former else ""
    lines = "" if changed.added is None else f"(+{changed.added} -{changed.removed})"
    return "  ".join(filter(None, [former + changed.path, lines, ", ".join(_facts(changed, names_author))]))


def _facts(changed: Changed, names_author: bool) -> Iterator[str]:
    commit = changed.commit
    if changed.fate in ("new", "deleted"):
        yield changed.fate
    elif not (commit or changed.uncommitted or changed.added is not None):
        yield "changed"
    if commit:
        yield f'{commit.id} "{commit.subject}"'
        yield from [commit.author] if names_author else []
        yield ago(commit.when)
    if changed.uncommitted:
        yield "with changes not committed"
