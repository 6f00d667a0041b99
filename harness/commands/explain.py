"""`harness explain`: why a test is red: the operation, the lines of then and now, and what changed there."""

import argparse
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.baselines.failed import Candidate, Project, candidates, keep_explanation
from harness.baselines.origin import content_name, origin
from harness.baselines.store import load_baseline
from harness.commands.accept import chosen, is_by_its_test
from harness.commands.project import add_places, output, project
from harness.comparing.comparison import Comparison, compare
from harness.elsewhere.both import both
from harness.elsewhere.trees import commit_of, tree_of
from harness.errors import AcceptError, ReportError, TreeError
from harness.explaining.explanation import as_baseline, explain
from harness.explaining.git import Git
from harness.explaining.hunks import Changes
from harness.record import Baseline
from harness.report import json_form
from harness.report.explanation_text import environment_text, explanation_text
from harness.report.json_form import Results
from harness.report.ledger import EMPTY
from harness.report.run import UNKNOWN


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "explain",
        help="why tests are red: the operation that differs first, its lines then and now, what changed there",
        description="Run red tests of the last session at the commit of their baselines and here, both traced around "
        "the first divergence, and print the first operation that differs, the two lines of code, and the hunk of the "
        "diff that holds them; `harness report` shows it, too. Exit status: 1 if something differs, 0 if nothing is "
        "red, 2 in trouble.",
        epilog="example: harness explain 'tests/test_a.py::test_b[cpu]'",
    )
    parser.add_argument(
        "names", nargs="*", help="baselines, parts or patterns ('*_b') of names, files or tests; default: all"
    )
    parser.add_argument(
        "--against",
        metavar="REF",
        help="a commit to run, for tests (FILE::TEST) that are not red, too; default: the one that last changed the "
        "baseline",
    )
    add_places(parser, "as the project's ini file says")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Explain what is red; against another commit, tests that are not, too, if they are named whole.

    Raises:
        TreeError: the baseline is in no commit, or the commit cannot run the test.
        RerunError: the test cannot be run again here.
        HarnessError: a name means nothing, a result or a baseline cannot be read.
    """
    folder, where = output(given) / "failed", project(given)
    last = _last(output(given))
    given.against = given.against or _commit_in(last.ledger.against)
    red = [each for each in candidates(folder) if each.compared and each.file.endswith(".json")]
    others = _others(last, given.names, {each.test for each in red}) if given.against else []
    names = [name for name in given.names if name not in {test for test, _ in others}]
    meant = chosen(folder, names, where.root) if red and (names or not given.names) else []
    asked = [_Asked(where.root.resolve(), test, check) for test, check in others]
    asked += [_asked(where, output(given), each) for each in meant if each in red]
    if not asked:
        print(f"nothing is red: no training that differs from its baseline is kept in {folder}")
    differ = [_print(each, folder, given.against) for each in asked]
    return int(any(differ))


def _last(output: Path) -> Results:
    """Return what the last session found; nothing, if that is not known."""
    try:
        return json_form.read(output / "results.json")
    except ReportError:
        return Results(5, [], EMPTY, UNKNOWN)


def _commit_in(title: str) -> str:
    """Return the commit of `main (9f8e7d2)`, which the last session was held against; empty if it was against none."""
    return title.rpartition("(")[2].rstrip(")")


def _others(last: Results, names: Sequence[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Return tests, and checks of theirs, of which no result is kept: those that are named, or else the red ones.

    A session that was held against a commit keeps none.
    """
    trainings = [each for each in last.results if each.kind == "training"]
    red = [(each.test, each.name) for each in trainings if not each.passed and each.test not in known]
    if found := [(test, check) for test, check in red if not names or test in names]:
        return found
    return [(name, "") for name in names if "::" in name and name not in known]


def _print(asked: "_Asked", folder: Path, against: str) -> bool:
    """Print what is found of a test, keep it with what is kept of that, and return whether it differs."""
    differs, text = _explained(asked, against)
    print(text, flush=True)
    if asked.path:
        keep_explanation(folder, asked.path.name, text)
    return differs


@dataclass(frozen=True)
class _Asked:
    """A test that is to be explained.

    Args:
        root: of the project.
        test: its id.
        check: which of its records.
        path: of the baseline, if it is held against one.
        stored: what that holds.
        step: where it is known to differ.
    """

    root: Path
    test: str
    check: str = ""
    path: Path | None = None
    stored: Baseline | None = None
    step: int = 0


def _asked(where: Project, output: Path, candidate: Candidate) -> _Asked:
    path, command = where.place(candidate), where.command(candidate)
    if not is_by_its_test(where, output, candidate):
        raise AcceptError.note(path=output / "failed", reason=f"{candidate.test} is not its test")
    stored, failed = load_baseline(path, command), load_baseline(output / "failed" / candidate.file, command)
    step = _step(compare(stored, failed.record))
    return _Asked(where.root.resolve(), candidate.test, candidate.check, path, stored, step)


def _explained(asked: _Asked, against: str) -> tuple[bool, str]:
    """Return whether a test differs, and why, in words."""
    root, test, git = asked.root, asked.test, Git(asked.root)
    with tree_of(root, against or _commit(git, asked.path or root)) as tree, both(tree, root, test) as runs:
        commit, changes = git.about(tree.commit), Changes(git.diff(tree.commit))
        then, now = runs.traced(asked.check, asked.step)
        stored = asked.stored or Baseline(then.record)
        if (first := _step(compare(as_baseline(stored, then), now.record))) != asked.step:
            then, now = runs.traced(asked.check, first)
        found, own = explain(stored, then, now, changes), compare(stored, then.record)
        differs, texts = bool(found.comparison.deviations), []
        is_around = not against and own.verdict == "different"
        if is_around:
            others = _other_sources(git, tree.commit, stored)
            texts.append(environment_text(own, test, commit, others, origin(root, "")))
        if differs or not texts:
            texts.append(explanation_text(found, test, commit, root, tree.root))
        return differs or is_around, "\n".join(texts)


def _commit(git: Git, path: Path) -> str:
    """Return the commit that a baseline was made at: the one that last changed its file."""
    commit, name = git.bringing(path), Path(os.path.relpath(path, git.root)).as_posix()
    if not commit:
        commit_of(git.root, "HEAD")  # or says why there is none
        raise TreeError.uncommitted(path=path, reason="none has it")
    if git.contents(commit, [name]).get(name) != content_name(git.root, name):
        raise TreeError.uncommitted(path=path, reason="it has changed since the last one that has it")
    return commit


def _step(comparison: Comparison) -> int:
    """Return the step of the first divergence."""
    found = comparison.deviations or comparison.undecided
    return max(0, found[0].step) if found else 0


def _other_sources(git: Git, commit: str, baseline: Baseline) -> list[str]:
    """Return the files that a baseline was made from, and that a commit has otherwise."""
    held = git.contents(commit, [*baseline.sources])
    return [name for name, content in baseline.sources.items() if content and held.get(name) != content]
