"""A whole pytest session in the tree of another commit, judged by this harness."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, STDOUT, CompletedProcess

from harness.elsewhere.rerun import FORKS, inherited
from harness.elsewhere.trees import Tree


_NOTHING: Mapping[str, str] = {}


def pytest_in(
    tree: Tree, arguments: Sequence[str], here: Path, variables: Mapping[str, str] = _NOTHING
) -> CompletedProcess[str]:
    """Run pytest in a tree, and return its exit status and what it printed.

    Args:
        tree: of the commit whose code is trained.
        arguments: of pytest; relative paths count from its folder.
        here: folder of the user's checkout whose place in the tree pytest is started in.
        variables: beside those of this process.
    """
    command = [tree.python, "-P", FORKS, "pytest", *arguments]
    environment = {**inherited(), **tree.variables, **variables}
    return subprocess.run(
        command,
        cwd=tree.place(here),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
