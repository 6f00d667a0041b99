"""Which of the project's files are not what a baseline was made from, and which commits changed them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from harness.baselines.origin import changed_sources, content_name, is_inside
from harness.explaining.git import Commit, Git, Lines
from harness.record import Baseline


_Count = Annotated[int, Meta(ge=0, lt=2**53)]


class Changed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is not what a baseline was made from.

    Args:
        path: from the project's root.
        former: the path that it had; empty unless it was renamed.
        fate: what became of it.
        added: lines since; None where git does not know what the file was, or it is no text.
        removed: likewise.
        commit: the last since that changed it; None where git knows none.
        uncommitted: whether it has changes that are in no commit.
    """

    path: str
    former: str
    fate: Literal["changed", "renamed", "new", "deleted"]
    added: _Count | None
    removed: _Count | None
    commit: Commit | None
    uncommitted: bool


def blame(
    git: Git,
    baseline: Baseline,
    file: Path,
    present: Collection[str],
    *,
    last: Collection[str] = (),
    where: str = "",
) -> list[Changed]:
    """Return the files of a project that are not what a baseline was made from, the likeliest cause first.

    The contents tell which; git tells how and by whom, where it knows a commit that has a file as it was.

    Args:
        git: of the project.
        baseline: with its sources.
        file: of the baseline.
        present: sources of the present result.
        last: files that are hardly the cause, such as tests.
        where: file and line that the divergence comes from, as `models/net.py:42`; empty if that is not known.
    """
    sources = baseline.sources
    changed = [name for name in changed_sources(git.root, sources) if is_inside(git.root, name)]
    base = base_of(git, baseline, file, changed)
    later = [name for name in present if name not in sources] if base else []
    new = set(later) - git.contents(base, later).keys()
    found = _found(git, base, {**dict.fromkeys(sorted(new), ""), **{name: sources[name] for name in changed}})
    first = where.rpartition(":")[0]
    return sorted(found, key=lambda each: (each.path != first, _is_of_tests(each, last), -_lines(each), each.path))


def base_of(git: Git, baseline: Baseline, file: Path, names: Sequence[str]) -> str:
    """Return the commit that has these files as they were: the one of the origin, or the one that brought the baseline.

    Who changes code and baseline at once makes the baseline before any commit has the code. Of two that have only a
    part of the files, it is the one that has more; empty if neither has any.
    """
    best, most = "", 0
    for commit in _commits(git, baseline, file):
        contents = git.contents(commit, names)
        held = sum(contents.get(name) == baseline.sources[name] for name in names)
        if held > most:
            best, most = commit, held
        if most == len(names):
            break
    return best


def _commits(git: Git, baseline: Baseline, file: Path) -> Iterator[str]:
    yield baseline.origin.get("commit", "")
    yield git.bringing(file)


def _found(git: Git, base: str, before: Mapping[str, str]) -> Iterator[Changed]:
    """Yield what became of files, given the content that each had; empty for a new one."""
    names = [*before]
    now = {name: content_name(git.root, name) for name in names}
    head, held = git.contents("HEAD", names), git.contents(base, names)
    lines = git.lines(base, [name for name in names if held.get(name, "") == before[name]])
    commits = git.commits(base, names)
    for name in before.keys() - {each.former for each in lines.values()}:
        change = lines.get(name) or Lines("", None, None)
        yield Changed(
            path=name,
            former=change.former,
            fate="renamed" if change.former else "new" if not before[name] else "changed" if now[name] else "deleted",
            added=change.added,
            removed=change.removed,
            commit=commits.get(name),
            uncommitted=(name in head or name in lines) and head.get(name, "") != now[name],
        )


def _is_of_tests(each: Changed, last: Collection[str]) -> bool:
    return each.path in last or Path(each.path).name == "conftest.py"


def _lines(each: Changed) -> int:
    return (each.added or 0) + (each.removed or 0)
