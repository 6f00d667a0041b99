"""`harness compare`: the trainings of two commits, or of one and the present tree."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.commands.project import add_root, project_root
from harness.commands.revisions import add_setup, named
from harness.elsewhere import sessions
from harness.elsewhere.asked import Asked
from harness.elsewhere.trees import titled, tree_of
from harness.report import json_form
from harness.report.finding import Finding


_OUTPUT = Path("build", "harness", "compare")
"""What such a session leaves, below the root: results of another commit are no candidates for baselines."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "compare",
        help="compare the trainings of two commits, or of one and the present tree",
        description="Train at A, and hold the trainings of B against it by the rules and in the words of the gate: "
        "pytest --mpl --training-against=A in the tree of B. Exit status: 0 if nothing differs, 1 if a training or a "
        "figure does, 2 in trouble.",
        epilog="example: harness compare main 'tests/test_a.py::test_b'",
    )
    parser.add_argument("former", metavar="A", help="commit whose trainings are the measure")
    what = "commit that is held against it, default: the present tree; then tests, or files of them, default: all"
    parser.add_argument("words", metavar="B | TEST", nargs="*", help=what)
    add_setup(parser)
    add_root(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Print what the session says; return 1 only if something was compared, and failed."""
    root = project_root(given)
    former, latter, tests = named(root, [given.former, *given.words])
    output = root.absolute() / _OUTPUT
    setup = [f"--training-setup={given.setup}"] if given.setup else []
    arguments = ["--mpl", f"--training-output={output}", *setup, *tests]
    if latter:
        title = titled(given.former, former)
        status = _there(root, latter, given.setup, former, title, arguments)
        print(f"these were the trainings of {titled(given.words[0], latter)}, held against those of {title}")
    else:
        status = _here(root, [f"--training-against={given.former}", *arguments])
    found = _found(output)
    if status == 0 and not found:
        print("nothing was compared")
    is_told = any(not each.passed for each in found) if status == 1 else bool(found)
    return min(status % 256, 2) if is_told else 2


def _here(root: Path, arguments: Sequence[str]) -> int:
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], cwd=root, check=False).returncode


def _there(root: Path, commit: str, setup: str, former: str, title: str, arguments: Sequence[str]) -> int:
    with tree_of(root, commit, setup) as tree:
        done = sessions.held(tree, root, former, arguments, Asked(against=title).variables)
    print(done.stdout, end="")
    return done.returncode


def _found(output: Path) -> list[Finding]:
    """Return what a session compared; nothing if it left no results."""
    left = json_form.left(output)
    return [each for each in left.results if each.training or each.figure] if left else []
