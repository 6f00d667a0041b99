"""Words of a command line that name commits and tests: `GOOD [BAD] [TEST...]`."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.elsewhere.trees import commit_of
from harness.errors import NotFoundError, TreeError


class Named(NamedTuple):
    """Commits by their whole names, the second one empty if there is none, and tests by ids from the project's root."""

    former: str
    latter: str
    tests: list[str]


def add_setup(parser: argparse.ArgumentParser) -> None:
    """Add the option --setup."""
    parser.add_argument(
        "--setup", metavar="COMMAND", default="", help="makes the tree of a commit ready, as pytest's --training-setup"
    )


def named(root: Path, words: Sequence[str]) -> Named:
    """Return what words mean: the first is a revision, the second may be one, the others are tests.

    TreeError if the first is no commit, NotFoundError if one of the others is neither, or both.
    """
    former, *rest = words
    latter = _commit(root, rest[0]) if rest else ""
    return Named(commit_of(root, former), latter, [_test(root, word) for word in rest[bool(latter) :]])


def _commit(root: Path, word: str) -> str:
    """Return the commit that a word names; empty if it names a test."""
    if "::" in word:
        return ""
    try:
        commit = commit_of(root, word)
    except TreeError:
        return ""
    if Path(word).exists():
        raise NotFoundError.ambiguous(word=word)
    return commit


def _test(root: Path, word: str) -> str:
    """Return a test's id, or a path, from the root: it may count from here, or from there as pytest prints it."""
    file, colons, test = word.partition("::")
    here = Path(os.path.relpath(Path(file).absolute(), root.absolute()))
    if Path(file).exists() and ".." not in here.parts:
        return here.as_posix() + colons + test
    if colons or (root / file).exists():
        return word
    raise NotFoundError.neither(word=word, root=root)
