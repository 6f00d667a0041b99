"""A whole pytest session in the tree of another commit, judged by this harness."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE, STDOUT, CompletedProcess
from typing import Self

import msgspec

from harness.elsewhere.kept import Notes
from harness.elsewhere.rerun import FORKS, own_variables
from harness.elsewhere.trees import Tree
from harness.errors import TreeError


PLAIN = ("--maxfail=0", "--tb=short", "--color=no", *(("-n0",) if find_spec("xdist") else ()))
"""Arguments of pytest where tests run for another process: all of them, in one, without colours."""
_IN_A_TREE = (
    *("-q", *PLAIN, "-o", "training_strict=false"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of the harness, under filterwarnings = error
)
"""Where a command runs them in a tree: what a project adds for itself is for its own sessions."""
_IMPORT = re.compile(r"E +(ModuleNotFound|Import)Error: ")
_NONE = re.compile(r"no tests ran|not found|deselected|^=+ \d+ warnings? in", re.MULTILINE)
_NOTHING: Mapping[str, str] = {}
_VARIABLE = "HARNESS_ORDER"
_OUTPUT_LINES = 15


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session in another commit's tree has to make.

    Args:
        tests: ids of the gated tests whose baselines are wanted.
        folder: that the baselines go to.
        scratch: folder of all else that the session leaves.
        whole: whether it is to collect all tests, so that the gated ones are known.
        reason: why its baselines are written.
        cifar10: where CIFAR-10 is; empty for nowhere.
    """

    tests: list[str]
    folder: str
    scratch: str
    whole: bool
    reason: str
    cifar10: str

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return this process's order, or None in an ordinary session."""
        place = os.environ.get(_VARIABLE)
        return msgspec.json.decode(Path(place).read_bytes(), type=cls) if place else None

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells another process the order, which is written for it."""
        place = Path(self.scratch, "order.json")
        place.write_bytes(msgspec.json.encode(self))
        return {_VARIABLE: str(place)}

    def answer(self, notes: Notes) -> None:
        """Leave for the session that asked what became of the tests."""
        self._answer.write_bytes(msgspec.json.encode(notes))

    @property
    def _answer(self) -> Path:
        return Path(self.scratch, "answer.json")

    def run(self, tree: Tree, name: str, arguments: Sequence[str], here: Path) -> Notes:
        """Have a session in a tree do it; return what it answers.

        Args:
            tree: of the commit.
            name: of the commit in messages.
            arguments: as for `pytest_in`.
            here: as for `pytest_in`.

        Raises:
            TreeError: it came to no end.
        """
        done = pytest_in(tree, arguments, here, self.variables)
        if not self._answer.exists():
            lines = "\n".join(done.stdout.splitlines()[-_OUTPUT_LINES:])
            raise TreeError.no_end(name=name, output=lines)
        return msgspec.json.decode(self._answer.read_bytes(), type=Notes)


def pytest_in(
    tree: Tree, arguments: Sequence[str], here: Path, variables: Mapping[str, str] = _NOTHING
) -> CompletedProcess[str]:
    """Run pytest in a tree, and return its exit status and what it printed.

    Args:
        tree: of the commit whose code is trained.
        arguments: of pytest; relative paths count from its folder.
        here: folder of the user's checkout whose place in the tree pytest is started in; the root if it is not there.
        variables: beside those of this process.
    """
    command = [tree.python, "-P", FORKS, "pytest", *arguments]
    environment = {**own_variables(), **tree.variables, **variables}
    place = tree.place(here)
    return subprocess.run(
        command,
        cwd=place if place.is_dir() else tree.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def held(
    tree: Tree, root: Path, commit: str, arguments: Sequence[str], variables: Mapping[str, str]
) -> CompletedProcess[str]:
    """Run pytest in a tree whose trainings are held against those of another commit, as a command asks for it.

    Args:
        tree: of the one.
        root: of the user's project.
        commit: the other.
        arguments: as for `pytest_in`.
        variables: as for `pytest_in`.
    """
    return pytest_in(tree, [*_IN_A_TREE, f"--training-against={commit}", *arguments], root, variables)


def reason(output: str) -> str:
    """Return the line of pytest's output that says best why something did not run: it marks such lines with an E."""
    lines = [line for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    marked = [line for above, line in pairwise(["", *lines]) if line.startswith("E ") and not above.startswith("E ")]
    imports = [line for line in lines if _IMPORT.match(line)]
    if said := imports or marked:
        return said[-1].removeprefix("E").strip()
    if _NONE.search(output):
        return "it has no such test"
    said = [line for line in lines if line.startswith(("ERROR", "FAILED"))] or lines
    return said[-1].strip()
