"""`harness explain`: why a test is red: the operation, the lines of then and now, and what changed there."""

import argparse
from pathlib import Path
from typing import Any

from harness.baselines.failed import Candidate, candidates
from harness.baselines.origin import content_name
from harness.baselines.store import load_baseline
from harness.commands.accept import chosen, is_by_its_test
from harness.commands.project import add_places, failed_results, output, project
from harness.comparing.comparison import Comparison, compare
from harness.elsewhere.both import both
from harness.elsewhere.trees import Tree, tree_of
from harness.errors import AcceptError, TreeError
from harness.explaining.explanation import explain
from harness.explaining.git import Git
from harness.explaining.hunks import Changes
from harness.record import Baseline
from harness.report.comparison_text import failure
from harness.report.explanation_text import explanation_text


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "explain",
        help="why tests are red: the operation that differs first, its lines then and now, what changed there",
        description="Run red tests of the last session at the commit of their baselines and here, both traced around "
        "the first divergence, and print the first operation that differs, the two lines of code, and the hunk of the "
        "diff that holds them. Exit status: 1 if something differs, 0 if nothing is red, 2 in trouble.",
        epilog="example: harness explain 'tests/test_a.py::test_b[cpu]'",
    )
    parser.add_argument(
        "names", nargs="*", help="baselines, parts or patterns ('*_b') of names, files or tests; default: all"
    )
    parser.add_argument(
        "--against", metavar="REF", help="a commit to run; default: the one that last changed the baseline"
    )
    add_places(parser, "as the project's ini file says")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Explain what is red."""
    folder = output(given) / "failed"
    red = [each for each in candidates(folder) if each.compared and each.file.endswith(".json")]
    if not red:
        print(f"nothing is red: no training that differs from its baseline is kept in {folder}")
        return 0
    meant = [each for each in chosen(folder, given.names, project(given).root) if each in red]
    print("\n\n".join(_explained(given, each) for each in meant))
    return 1


def _explained(given: argparse.Namespace, candidate: Candidate) -> str:
    """Return why a test is red, in words."""
    where = project(given)
    root, path = where.root.resolve(), where.place(candidate)
    if not is_by_its_test(where, output(given), candidate):
        raise AcceptError.note(path=failed_results(given), reason=f"{candidate.test} is not its test")
    stored = load_baseline(path, where.command(candidate))
    failed = load_baseline(failed_results(given) / candidate.file, where.command(candidate))
    git = Git(root)
    revision = given.against or _commit(git, path)
    step = _step(compare(stored, failed.record))
    with tree_of(root, revision) as tree, both(tree, root, candidate.test.partition("::")[0]) as runs:
        changes = Changes(git.diff(tree.commit))
        then, now = runs.traced(candidate.test, candidate.check, step)
        found = explain(stored, then, now, changes)
        if (first := _step(found.comparison)) != step:
            then, now = runs.traced(candidate.test, candidate.check, first)
            found = explain(stored, then, now, changes)
        about, said = (
            git.about(tree.commit),
            "" if given.against else _said(git, tree, stored, compare(stored, then.record)),
        )
        if not found.comparison.deviations:
            return said
        return explanation_text(found, candidate.test, about, said, root, tree.root)


def _commit(git: Git, path: Path) -> str:
    """Return the commit that a baseline was made at: the one that last changed its file."""
    commit = git.bringing(path)
    name = path.relative_to(git.root).as_posix()
    if not commit:
        raise TreeError.uncommitted(path=path, reason="no commit has it")
    if git.contents(commit, [name]).get(name) != content_name(git.root, name):
        raise TreeError.uncommitted(path=path, reason="it has changes that are in no commit")
    return commit


def _step(comparison: Comparison) -> int:
    """Return the step of the first divergence."""
    found = comparison.deviations or comparison.undecided
    return max(0, found[0].step) if found else 0


def _said(git: Git, tree: Tree, stored: Baseline, comparison: Comparison) -> str:
    """Say whether a commit makes its baseline, here."""
    if comparison.verdict != "different":
        return "which makes the baseline here, too"
    return failure(comparison)
