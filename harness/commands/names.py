"""What people call a baseline: its name, its file or a path of it, its test, a pattern, or a part of its name."""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TypeVar

from harness.baselines.store import possible_names
from harness.errors import NotFoundError
from harness.record.environment import DEVICES


_FEW, _LIKENESS = 5, 0.4
"""Names that are given in the place of an unknown one: how many, and how much like it (0 to 1)."""


class Named(Protocol):
    """What has a baseline's name: a stored one, or a result that may become one."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def file(self) -> str:
        """Its file name."""


_Named = TypeVar("_Named", bound=Named)


def called(text: str, known: Sequence[_Named], root: Path) -> list[_Named]:
    """Return what a word of the command line means: the first of all readings that anything answers to.

    Ids of tests count from the root; NotFoundError if the word is a part of several names.
    """
    file, tests = Path(text).name, _tests(text, root)
    theirs = tuple(test + mark for test in tests for mark in ("," if "[" in text else ",-="))
    for fits in (
        lambda each: text in (each.name, each.file) or file == each.file,
        lambda each: each.name in tests or each.name.startswith(theirs),
        lambda each: fnmatchcase(each.name, text),
    ):
        if found := [each for each in known if fits(each)]:
            return found
    found = [each for each in known if text in each.file]
    if len(names := sorted({each.name for each in found})) > 1:
        raise NotFoundError.several(name=text, place=root, found=names)
    return found


def near(text: str, known: Sequence[Named]) -> list[str]:
    """Return the names that are most like an unknown one, the nearest first."""
    names = list(dict.fromkeys(each.name for each in known))
    return get_close_matches(Path(text).stem if "::" not in text else text, names, _FEW, _LIKENESS)


def _tests(text: str, root: Path) -> set[str]:
    """Return the names of the baselines of a test, a class or a file of them; its device is in none of them."""
    file, colons, test = text.partition("::")
    if not file.endswith(".py"):
        return set()
    there = Path(file).is_file()
    place = Path(os.path.relpath(Path(file).resolve(), root.resolve())).as_posix() if there else file
    return possible_names(f"{place}{colons}{test}", DEVICES)
