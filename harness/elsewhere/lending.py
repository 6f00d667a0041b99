"""Today's tests in the trees of commits that lack them."""

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from harness.elsewhere.trees import Tree


def files_of(tests: Iterable[str]) -> list[str]:
    """Return the files of tests, from the root of the project, which others' are not below."""
    files = sorted({Path(test.partition("::")[0]) for test in tests})
    return [file.as_posix() for file in files if not file.is_absolute() and ".." not in file.parts]


def contents(root: Path, files: Iterable[str]) -> list[str]:
    """Return digests of those of a project's files that are there, each with its name."""
    there = [(file, root / file) for file in files if (root / file).is_file()]
    return [f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for name, file in there]


def lend(tree: Tree, root: Path, tests: Iterable[str]) -> list[str]:
    """Copy today's test files to a tree that lacks them, with each conftest.py that it lacks; return their names.

    Args:
        tree: of the commit.
        root: of the project.
        tests: ids or files, from the root.
    """
    lent = []
    for file in map(Path, files_of(test for test in tests if _is_lacking(tree, root, test))):
        beside = [
            folder / "conftest.py" for folder in file.parents if not (tree.root / folder / "conftest.py").exists()
        ]
        lent += [each.as_posix() for each in (file, *beside) if _copied(root / each, tree.root / each, tree.top)]
    return lent


def _is_lacking(tree: Tree, root: Path, test: str) -> bool:
    """Tell whether a commit has no such file, or one that does not define a test's function as today's does."""
    file, _, name = test.partition("::")
    now, then = root / file, tree.root / file
    if not (now.is_file() and then.is_file()):
        return now.is_file() and not then.exists()
    defined = re.compile(rf"\bdef {re.escape(name.partition('[')[0].rpartition('::')[2])}\(")
    missing = [not defined.search(file.read_text(encoding="utf-8", errors="replace")) for file in (now, then)]
    return bool(name) and missing == [False, True]


def _copied(source: Path, target: Path, top: Path) -> bool:
    """Copy a file to a tree; not by way of a link that leads out of it."""
    if not source.is_file() or not target.resolve().is_relative_to(top.resolve()):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True
