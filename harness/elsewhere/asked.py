"""What a command asks of a session in the tree of a commit, beside what its command line says."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from harness.elsewhere.lending import lend
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
        return lend(tree, Path(self.root), self.lent)
