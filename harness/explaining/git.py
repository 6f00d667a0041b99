"""What git knows of files: their contents in a commit, the lines that changed since, and who changed them last."""

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from harness.baselines.origin import CONTENT_DIGITS, content_name, git_output
from harness.explaining.hunks import Changes, Hunk
from harness.recording.project_files import name_of, repository


_SECONDS = 20.0
"""That git may take in a session, all failures together: it tells who is to blame, and decides nothing."""
_COMMIT = re.compile("[0-9a-f]{7,64}")
"""No option, and no name of anything else."""
_HEADER = "//"
"""What no path begins with."""
_DIFF = (
    *("-c", "core.quotePath=false", "-c", "diff.suppressBlankEmpty=false", "diff"),
    *("-M", "--src-prefix=a/", "--dst-prefix=b/", "--no-color", "--no-ext-diff", "--no-textconv"),
)
"""A patch in the same form, whatever git is set to."""


class Commit(Struct, frozen=True, forbid_unknown_fields=True):
    """A commit, as far as a person needs to know."""

    id: str
    author: str
    when: Annotated[datetime, Meta(tz=True)]
    subject: str


class Lines(NamedTuple):
    """What became of a file: the path that it had if it was renamed, and lines added and removed, if it is text."""

    former: str
    added: int | None
    removed: int | None


@dataclass
class Git:
    """Asks the repository of a project, each question once; what git cannot answer has an empty answer.

    Args:
        root: of the project, which may be a folder of the repository; paths count from there, git's from its top.
        seconds: that it may take.
    """

    root: Path
    seconds: float = _SECONDS
    _answers: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    @cached_property
    def _top(self) -> Path:
        return repository(self.root)

    def _named(self, path: str) -> str:
        """Return a path of git's from the project's root on."""
        return name_of(self.root, self._top / path) if path else ""

    def _placed(self, path: str) -> str:
        """Return one from the root on as git has it."""
        return name_of(self._top, self.root / path)

    def _ask(self, *words: str) -> list[str]:
        """Return the parts of an answer, which zero bytes separate."""
        if words not in self._answers:
            self._answers[words] = self._output(*words).split("\0")[:-1]
        return self._answers[words]

    def _output(self, *words: str) -> str:
        began = time.monotonic()
        asked = ("--literal-pathspecs", *words)  # a path is meant as it is
        output = git_output(self._top, *asked, seconds=self.seconds) if self.seconds > 0 else None
        self.seconds -= time.monotonic() - began
        return (output or b"").decode("utf-8", "surrogateescape")

    def bringing(self, file: Path) -> str:
        """Return the last commit that changed a file; empty if there is none."""
        return next(iter(self._ask("log", "-1", "-z", "--format=%H", "--", str(file))), "")

    def contents(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Return what of these files a commit has, path to content (`content_name`)."""
        if not (paths and (commit == "HEAD" or _COMMIT.fullmatch(commit))):
            return {}
        placed = map(self._placed, paths)
        entries = (entry.partition("\t") for entry in self._ask("ls-tree", "-z", commit, "--", *placed))
        return {self._named(path): about.split()[2][:CONTENT_DIGITS] for about, _, path in entries}

    def lines(self, base: str, paths: Sequence[str]) -> dict[str, Lines]:
        """Return what changed between a commit and now, by present path."""
        if not (paths and base):
            return {}
        found = {}
        parts = iter(self._ask("diff", "--numstat", "-z", "-M", base, "--", *map(self._placed, paths)))
        for added, removed, path in (part.split("\t", 2) for part in parts):
            former, present = map(self._named, ("", path) if path else (next(parts), next(parts)))
            found[present] = Lines(former, *(int(number) if number != "-" else None for number in (added, removed)))
        return found

    def renamed(self, base: str) -> dict[str, str]:
        """Return the files that a commit has under another name, by present path.

        Git sees that they are alike; of one that it was not told of, all has to be the same.
        """
        status = ("diff", "--name-status", "-z", "-M")
        parts = self._ask(*status, "--diff-filter=R", base)
        then, now = (map(self._named, parts[place::3]) for place in (1, 2))
        gone = self.contents(base, [*map(self._named, self._ask(*status, "--diff-filter=D", base)[1::2])])
        former = {content: path for path, content in gone.items()}
        new = self._new() if gone else []
        moved = {path: former[content] for path in new if (content := content_name(self.root, path)) in former}
        return {**moved, **dict(zip(now, then, strict=True))}

    def _new(self) -> list[str]:
        return [*map(self._named, self._ask("ls-files", "-z", "--others", "--exclude-standard"))]

    def former(self, base: str, test: str) -> str:
        """Return the id that a test has in a commit: its file may have another name there."""
        file, colons, rest = test.partition("::")
        return self.renamed(base).get(file, file) + colons + rest

    def changes(self, base: str, without: Sequence[str] = ()) -> Changes:
        """Return what changed in the repository and its submodules since a commit; but not in some files."""
        out = [f":(exclude,literal){self._placed(name)}" for name in without]
        output = git_output(self._top, *_DIFF, "-U3", "--submodule=diff", base, "--", ":/", *out) or b""
        return Changes(output.decode("utf-8", "surrogateescape"), self._placed("."))

    def text(self, commit: str, path: str) -> str | None:
        """Return what a file was in a commit, None if git does not know or it is too long to be read."""
        output = git_output(self._top, "show", f"{commit}:{self._placed(path)}") if _COMMIT.fullmatch(commit) else None
        return None if output is None else output.decode("utf-8", "replace")

    def about(self, commit: str) -> Commit | None:
        """Return a commit as a person needs to know it; None if there is none."""
        form = "--format=%h%x00%an%x00%cI%x00%s%x00"
        id_, author, when, subject = [*self._ask("log", "-1", "--no-show-signature", form, commit), "", "", "", ""][:4]
        return Commit(id_, author, datetime.fromisoformat(when), subject) if when else None

    def changed_lines(self, base: str) -> dict[str, list[int]]:
        """Return the present lines of Python files that a commit does not have; all lines of a file that is new."""
        if not base:
            return {}
        changed = filter(_is_python, self._ask("diff", "--name-only", "-z", "--no-renames", base, "--"))
        new = {name: [*range(1, 1 + self._num_lines(name))] for name in filter(_is_python, self._new())}
        return {**_lines(self.hunks(base, [*map(self._named, changed)])), **new}

    def hunks(self, base: str, paths: Sequence[str]) -> list[Hunk]:
        """Return what changed in some files since a commit, without lines around it."""
        if not (paths and _COMMIT.fullmatch(base)):
            return []
        return Changes(self._output(*_DIFF, "-U0", base, "--", *map(self._placed, paths)), self._placed(".")).hunks

    def _num_lines(self, name: str) -> int:
        try:
            return len((self.root / name).read_bytes().splitlines())
        except OSError:  # a link to nowhere
            return 0

    def commits(self, base: str, paths: Sequence[str]) -> dict[str, Commit]:
        """Return the last commit since another that changed each of these files."""
        if not (paths and base):
            return {}
        form = f"--format={_HEADER}%h%x00%an%x00%cI%x00%s"
        options = ("-z", "--name-only", "--no-show-signature", form)
        found: dict[str, Commit] = {}
        with contextlib.suppress(ValueError):  # a year that is none
            for commit, path in _of_each(self._ask("log", *options, f"{base}..HEAD", "--", *map(self._placed, paths))):
                found.setdefault(self._named(path), commit)
        return found


def _is_python(name: str) -> bool:
    return name.endswith(".py")


def _lines(hunks: Iterable[Hunk]) -> dict[str, list[int]]:
    """Return the lines that hunks without context add, and those before which they take some out, by path."""
    found: dict[str, list[int]] = {}
    for hunk in hunks:
        if _is_python(hunk.file):  # which is still there
            now = hunk.spans[1]
            found.setdefault(hunk.file, []).extend(now or [now.start])
    return found


def _of_each(parts: Iterable[str]) -> Iterator[tuple[Commit, str]]:
    """Yield each commit of a log with each file that it changed."""
    rest, commit = iter(parts), None
    for part in rest:
        if part.startswith(_HEADER):
            author, when, subject = (next(rest) for _ in range(3))
            commit = Commit(part.removeprefix(_HEADER), author, datetime.fromisoformat(when), subject)
        elif commit and part:
            yield commit, part.removeprefix("\n")
