"""What changed in the files of a project since a commit, hunk by hunk, and which line of then is which of now."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple


_HEAD = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_BINARY = re.compile(r"Binary files (?:a/(.*)|/dev/null) and (?:b/(.*)|/dev/null) differ")
_NUMBER = re.compile(r"[-+]?(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?!\w|\.\d)")
_PLAIN = rf"{_NUMBER.pattern}|\"[^\"]*\"|'[^']*'|\([^()]*\)|\[[^\[\]]*\]|(?i:true|false|none|null)"
_SETTING = re.compile(
    rf"""(?<![\w.])(?:self\.)?(\w+)["']?\s*(?::\s*[\w.\[\]| ]+?)?\s*[=:]\s*({_PLAIN})\s*(?=[,)}}\]\#;]|$)"""
)
"""A plain value that is given a name: in an assignment, a call, a table, a file of settings."""
_OPTION = re.compile(r"""["']--([\w-]+)["']""")
_BRANCH = re.compile(r"\s*(el)?if\b")
_NO_LINES = "@@ -0,0 +0,0 @@ no text"


class At(NamedTuple):
    """A line of a file of the project; 0 is all of a file that is no text."""

    file: str
    line: int


@dataclass(frozen=True)
class Hunk:
    """Lines that changed, with a few around them.

    Args:
        former: path of the file then, from the project's root; empty of a new one.
        file: path now; empty if it is gone.
        text: as git prints it, headed by its "@@" line.
    """

    former: str
    file: str
    text: str

    @cached_property
    def spans(self) -> tuple[range, range]:
        """The line numbers that it covers then and now."""
        found = _HEAD.match(self.text)
        assert found, "a hunk begins with its place"
        then, thens, now, nows = (1 if number is None else int(number) for number in found.groups())
        return range(then, then + thens), range(now, now + nows)

    @cached_property
    def rows(self) -> list[tuple[int, int, str]]:
        """Line number then and now, 0 where it has none, and text, of each line."""
        then, now = (span.start for span in self.spans)
        rows = []
        for line in self.text.split("\n")[1:]:
            sign = line[:1]
            if sign in "+- ":  # and no "No newline at end of file"
                rows.append((0 if sign == "+" else then, 0 if sign == "-" else now, line[1:]))
                then, now = then + (sign != "+"), now + (sign != "-")
        return rows

    @property
    def added(self) -> dict[int, str]:
        """Line number to text of what is new."""
        return {now: text for then, now, text in self.rows if not then}

    @property
    def removed(self) -> dict[int, str]:
        """Line number to text of what is gone."""
        return {then: text for then, now, text in self.rows if not now}

    def first(self, value: str = "", *, then: bool = False) -> At | None:
        """Return the first line that is new, or that is gone; of those that hold a number or word, if one is given."""
        lines = self.removed if then else self.added
        found = (line for line, text in lines.items() if not value or _holds(text, value))
        line = next(found, None if self.rows or value else 0)
        file = self.former if then else self.file
        return At(file, line) if file and line is not None else None

    @property
    def settings(self) -> Iterator[tuple[At, str, str, str]]:
        """Line, name, former and present text of the plain values that names are given, and that are others now."""
        before = {name: text for line in self.removed.values() for name, text in _settings(line)}
        for line, text in self.added.items():
            for name, value in _settings(text):
                if before.get(name, value) != value:
                    yield At(self.file, line), name, before[name], value

    def decided(self, line: int, *, then: bool = False) -> list[int]:
        """Return the lines that are new, or gone, in the body of a branch at a line; none if there is no branch."""
        rows = [(row[0] if then else row[1], text) for row in self.rows for text in row[2:]]
        head, *below = [(at, text) for at, text in rows if at >= line]
        if not _BRANCH.match(head[1]):
            return []
        body = takewhile(lambda row: not row[1].strip() or _indent(row[1]) > _indent(head[1]), below)
        edited = self.removed if then else self.added
        return [at for at, _ in body if at in edited]


class Changes:
    """All hunks since a commit.

    Args:
        text: what `git diff` printed, with prefixes `a/` and `b/`.
        folder: of the repository that paths are to count from; its top where it is empty.
    """

    def __init__(self, text: str, folder: str = "") -> None:
        self.hunks = [*_hunks(text, folder)]
        renames = re.findall(r"^rename from (.*)\nrename to (.*)$", text, re.MULTILINE)
        self._renamed = {_from(folder, now): _from(folder, then) for then, now in renames}

    def at(self, file: str, line: int, *, then: bool = False) -> Hunk | None:
        """Return the hunk in which a line of now, or of then, is one that changed."""
        for hunk in self.hunks:
            if file == (hunk.former if then else hunk.file) and line in (hunk.removed if then else hunk.added):
                return hunk
        return None

    def former(self, file: str, line: int) -> tuple[str, int] | None:
        """Return path and number that a line of now had then; None of a new one."""
        former, shift = self._renamed.get(file, file), 0
        for hunk in self.hunks:
            then, now = hunk.spans
            if hunk.file == file and line in now:
                found = next(old for old, new, _ in hunk.rows if new == line)
                return (former, found) if found else None
            if hunk.file == file and line >= now.stop:
                shift = then.stop - now.stop
        return former, line + shift

    def present(self, file: str, line: int) -> tuple[str, int]:
        """Return path and number now of a line of then; of one that is gone, those of what stands before it."""
        file, shift = next((new for new, old in self._renamed.items() if old == file), file), 0
        for hunk in self.hunks:
            then, now = hunk.spans
            if hunk.file == file and line in then:
                before = [new for _, new, _ in takewhile(lambda row: row[0] != line, hunk.rows) if new]
                return file, next(new for old, new, _ in hunk.rows if old == line) or max(before, default=now.start)
            if hunk.file == file and line >= then.stop:
                shift = now.stop - then.stop
        return file, line + shift


def _hunks(text: str, folder: str) -> Iterator[Hunk]:
    former = file = ""
    lines: list[str] = []
    for line in [*text.split("\n"), "diff --git"]:
        if lines and (line.startswith(("@@ ", "diff --git")) or not line):
            yield Hunk(former, file, "\n".join(lines))
            lines = []
        if line.startswith("@@ "):
            lines = [line]
        elif lines:
            lines.append(line)
        elif line.startswith("--- "):
            former = _path(line, folder)
        elif line.startswith("+++ "):
            file = _path(line, folder)
        elif found := _BINARY.fullmatch(line):
            yield Hunk(_from(folder, found[1]), _from(folder, found[2]), _NO_LINES)


def _settings(line: str) -> Iterator[tuple[str, str]]:
    """Yield the names of a line and the plain values that it gives them; the default of an option is the option's."""
    option = _OPTION.search(line)
    for name, value in _SETTING.findall(line):
        yield option[1].replace("-", "_") if option and name == "default" else name, value


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _holds(text: str, value: str) -> bool:
    """Tell whether a text holds a number, however it is written, or a word."""
    try:
        return float(value) in map(float, _NUMBER.findall(text))
    except ValueError:
        return bool(re.search(rf"\b{re.escape(value)}\b", text))


def _path(line: str, folder: str) -> str:
    name = line[4:].rstrip("\t")
    return "" if name == "/dev/null" else _from(folder, name[2:])


def _from(folder: str, name: str | None) -> str:
    return posixpath.relpath(name, folder or ".") if name else ""
