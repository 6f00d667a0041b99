"""What a command asks of a session in the tree of a commit, beside what its command line says."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from harness.elsewhere.trees import Tree


_VARIABLE = "HARNESS_ASKED"


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command asks.

    Args:
        against: what the commit is called that the session is held against: "v1.2 (9f8e7d2)".
        root: of the user's project.
        lent: its test files, from there, that are copied to trees which lack them.
        costs: whether somebody wants to know what trainings cost.
    """

    against: str
    root: str = ""
    lent: list[str] = []
    costs: bool = True

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return what this process was asked, or None in an ordinary session."""
        given = os.environ.get(_VARIABLE)
        return msgspec.json.decode(given, type=cls) if given else None

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells another process."""
        return {_VARIABLE: msgspec.json.encode(self).decode()}

    def lend(self, tree: Tree) -> list[str]:
        """Copy the test files that a tree lacks, each with those conftest.py that it lacks; return their names."""
        lent, root = [], Path(self.root)
        for file in map(Path, self.lent):
            if (root / file).is_file() and not (tree.root / file).exists():
                beside = [folder / "conftest.py" for folder in file.parents]
                lent += [
                    each.as_posix() for each in (file, *beside) if _copied(root / each, tree.root / each, tree.top)
                ]
        return lent


def files_of(tests: Iterable[str]) -> list[str]:
    """Return the files of tests, from the root of the project, which others' are not below."""
    files = sorted({Path(test.partition("::")[0]) for test in tests})
    return [file.as_posix() for file in files if not file.is_absolute() and ".." not in file.parts]


def contents(root: Path, files: Iterable[str]) -> list[str]:
    """Return digests of those of a project's files that are there, each with its name."""
    there = [(file, root / file) for file in files if (root / file).is_file()]
    return [f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for name, file in there]


def _copied(source: Path, target: Path, top: Path) -> bool:
    """Copy a file to a tree if it is not there; not by way of a link that leads out of it."""
    inside = target.parent.resolve().is_relative_to(top.resolve())
    if not source.is_file() or target.exists() or not inside:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True
