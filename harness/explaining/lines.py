"""Lines of the project: whose code runs, and the plain values of modules that a line names."""

import ast
import functools
import linecache
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from harness.explaining.traced import Place
from harness.recording.lines import owner
from harness.recording.project_files import is_of, name_of


HOUSE = Path(__file__).parents[2]
"""Where our files count from."""
_LONGEST = 200
"""Characters of a value that is kept."""


def shown(file: str, root: Path) -> str:
    """Return a file of the project's repository from the project's root on, one of ours likewise, others whole."""
    path = Path(os.path.normpath(file))
    if is_of(root, path):
        return name_of(root, path)
    return path.relative_to(HOUSE).as_posix() if path.is_relative_to(HOUSE) else file


def projects(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame, from one on, whose code is the project's."""
    while frame and owner(frame.f_code.co_filename) != "project":
        frame = frame.f_back
    return frame


class Lines:
    """Makes places of frames.

    Args:
        root: of the project.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.constants: dict[str, str] = {}
        self._known: dict[tuple[CodeType, int, bool], Place] = {}

    def place(self, frame: FrameType, direct: bool = False) -> Place:
        """Return the line that a frame is at; what its statement names is kept in `constants`, paths from the root."""
        known = frame.f_code, frame.f_lineno, direct
        if known not in self._known:
            self._known[known] = self._place(frame, direct)
        return self._known[known]

    def _place(self, frame: FrameType, direct: bool) -> Place:
        code, line = frame.f_code, frame.f_lineno
        file = shown(code.co_filename, self._root)
        found = dict(plain(frame.f_globals, _names(code.co_filename, line)))
        named = {f"{file}:{name}": text.replace(str(self._root), ".") for name, text in found.items()}
        self.constants |= named
        return Place(file, line, code.co_qualname, direct, tuple(named))


def plain(module: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of what stands in a module under some names, if it is made of numbers and texts alone."""
    for name in sorted(names):
        value = _value(module, name)
        if _is_plain(value) and len(text := repr(value)) <= _LONGEST:
            yield name, text


def _value(module: Mapping[str, Any], name: str) -> object:
    """Return what stands in a module under `STD`, `settings.STD` or `SETTINGS['std']`; None where nothing does."""
    found = re.fullmatch(r"(\w+)(?:\.(\w+)|\['(\w+)'\])?", name)
    first, attribute, key = found.groups() if found else ("", None, None)
    value = module.get(first)
    if attribute:
        inner = isinstance(value, ModuleType) and owner(getattr(value, "__file__", None) or "") == "project"
        return vars(value).get(attribute) if inner else None
    return value.get(key) if key and isinstance(value, dict) else value


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    return isinstance(value, bool | int | float | str)


@functools.cache
def _names(file: str, line: int) -> frozenset[str]:
    """Return the names and texts that the statement at a line of a file uses; of one with a body, those of its head."""
    statement = _statement(file, line)
    if statement is None:
        return frozenset()
    body = getattr(statement, "body", None)
    end = body[0].lineno - 1 if isinstance(body, list) else statement.end_lineno or line
    uses = (
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Constant)
    )
    return frozenset(ast.unparse(node) for node in uses if node.lineno <= max(end, statement.lineno))


def words(root: Path, places: Iterable[Place]) -> set[str]:
    """Return the words that statements use, and those that what they name is made of.

    Args:
        root: of the project.
        places: the lines of the statements.
    """
    found = set[str]()
    for file, line in ((str(root / place.file), place.line) for place in places):
        own = words_of(_names(file, line)) - {"self"}
        assigned = (each for each in statements(file) if isinstance(each, ast.Assign))
        made = (each for each in assigned if own & words_of(map(ast.unparse, each.targets)))
        found |= own.union(*(words_of(_names(file, each.lineno)) for each in made))
    return found


def words_of(texts: Iterable[str]) -> set[str]:
    """Return the words of texts."""
    return {word for text in texts for word in re.findall(r"\w+", text)}


@functools.cache
def arguments(file: str, line: int) -> tuple[tuple[str, int], ...]:
    """Return name and line of what the calls that begin at a line of a file are given by name."""
    statement = _statement(file, line)
    nodes = ast.walk(statement) if statement else ()
    calls = (node for node in nodes if isinstance(node, ast.Call) and node.lineno == line)
    return tuple((each.arg, each.lineno) for call in calls for each in call.keywords if each.arg)


def _statement(file: str, line: int) -> ast.stmt | None:
    """Return the innermost statement that a line of a file belongs to."""
    around = [node for node in statements(file) if node.lineno <= line <= (node.end_lineno or line)]
    return max(around, key=lambda node: node.lineno, default=None)


@functools.cache
def statements(file: str) -> list[ast.stmt]:
    """Return all statements of a file, the outer ones first; none of what is no Python."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
