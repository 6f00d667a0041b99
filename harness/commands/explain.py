"""`harness explain`: why a test is red: the operation, the lines of then and now, and what changed there."""

import argparse
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.baselines.failed import Candidate, Project, candidates, keep_explanation
from harness.baselines.origin import content_name, origin
from harness.baselines.store import load_baseline
from harness.commands.accept import is_by_its_test
from harness.commands.names import called
from harness.commands.project import add_places, output, project, project_root, stored
from harness.commands.revisions import add_setup
from harness.comparing.comparison import Comparison, compare
from harness.elsewhere.both import Both, both
from harness.elsewhere.lending import lend
from harness.elsewhere.trees import commit_of, titled, tree_of
from harness.errors import AcceptError, TreeError
from harness.explaining.explanation import Side, as_baseline, explain
from harness.explaining.git import Git
from harness.record import Baseline
from harness.report import json_form
from harness.report.explanation_text import About, environment_text, explanation_text


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
    add_setup(parser)
    add_places(parser, "as the project's ini file says")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Explain what is red; against another commit, tests that are not, too, if they are named whole."""
    folder, where, against = output(given) / "failed", project(given), _against(given)
    kept = [each for each in candidates(folder) if each.compared and each.file.endswith(".json")]
    kept = [each for each in kept if given.names or _is_there(where, output(given), each)]
    red = [_Red(each.test, each.check, each.file, each) for each in kept]
    red += _without_result(output(given), {each.test for each in red}) if against.commit else []
    meant = _meant(red, given, named_whole=bool(against.commit))
    if not meant:
        said = f"not red: {', '.join(given.names)}" if given.names else "nothing is red"
        print(f"{said}; no training that differs from its baseline is kept in {folder}")
    differ = [_print(_asked(where, output(given), each), folder, against, given.setup) for each in meant]
    return int(any(differ))


def _is_there(where: Project, output: Path, kept: Candidate) -> bool:
    """Tell whether a test is still there of which a result is kept; say so if it is not."""
    found = is_by_its_test(where, output, kept)
    if not found:
        print(f"left out: {kept.file}, whose test, {kept.test}, is gone or another")
    return found


class _Against(NamedTuple):
    """The commit that a training is held against, and what a user calls it; empty for that of its baseline."""

    commit: str = ""
    title: str = ""


def _against(given: argparse.Namespace) -> _Against:
    """Return the commit that was asked for, or that the last session was held against."""
    if given.against:
        commit = commit_of(project_root(given), given.against)
        return _Against(commit, titled(given.against, commit))
    last = json_form.left(output(given))
    return _Against(last.ledger.commit, last.ledger.against) if last else _Against()


@dataclass(frozen=True)
class _Red:
    """A training that differs, or that somebody names."""

    test: str  # id
    check: str = ""  # which of its records
    file: str = ""  # of the baseline
    candidate: Candidate | None = field(default=None, compare=False)  # what is kept of it; None if nothing is

    @property
    def name(self) -> str:
        """What its baseline is called."""
        return Path(self.file).stem


def _without_result(output: Path, known: Collection[str]) -> list[_Red]:
    """Return what was red in the last session, and of which no result is kept: one that was held against a commit."""
    last = json_form.left(output)
    found = [each for each in (last.results if last else ()) if each.training and not each.passed]
    return [_Red(each.test, each.name, each.baseline) for each in found if each.test not in known]


def _meant(red: Sequence[_Red], given: argparse.Namespace, *, named_whole: bool) -> list[_Red]:
    """Return what the names mean, or all that is red; of a name that only a green baseline has, nothing.

    A test that is named whole may be green, if that is allowed; NotFoundError if a name means nothing.
    """
    root, found = project_root(given), list[_Red]()
    for name in given.names:
        meant = [each for each in red if each.test == name] or called(name, red, root)
        file, colons, _ = name.partition("::")
        if not meant and named_whole and colons and (root / file).is_file():
            meant = [_Red(name)]
        if not meant:
            stored(given, name)
        found += meant
    return list(dict.fromkeys(found if given.names else red))


def _print(asked: "_Asked", folder: Path, against: _Against, setup: str) -> bool:
    """Print what is found of a test, keep it with what is kept of that, and return whether it differs."""
    differs, text = _explained(asked, against, setup)
    print(text, flush=True)
    if asked.path:
        keep_explanation(folder, asked.path.name, text)
    return differs


@dataclass(frozen=True)
class _Asked:
    """A test that is to be explained."""

    root: Path  # of the project
    test: str  # id
    check: str = ""  # which of its records
    path: Path | None = None  # of the baseline, if it is held against one
    stored: Baseline | None = None  # what that holds
    step: int = 0  # where it is known to differ


def _asked(where: Project, output: Path, red: _Red) -> _Asked:
    root, candidate = where.root.resolve(), red.candidate
    if candidate is None:
        return _Asked(root, red.test, red.check)
    path, command = where.place(candidate), where.command(candidate)
    if not is_by_its_test(where, output, candidate):
        raise AcceptError.note(path=output / "failed", reason=f"{candidate.test} is not its test")
    baseline, failed = load_baseline(path, command), load_baseline(output / "failed" / candidate.file, command)
    step = _step(compare(baseline, failed.record))
    return _Asked(root, candidate.test, candidate.check, path, baseline, step)


def _explained(asked: _Asked, against: _Against, setup: str) -> tuple[bool, str]:
    """Return whether a test differs, and why, in words."""
    root, test, git = asked.root, asked.test, Git(asked.root)
    with tree_of(root, against.commit or _commit(git, asked.path or root), setup) as tree:
        lent = lend(tree, root, [git.former(tree.commit, test)])
        about = About(test, git.about(tree.commit), against.title, lent)
        with both(tree, root, test) as runs:
            then, now = _traced(runs, asked)
        stored = asked.stored or Baseline(then.record)
        found = explain(stored, then, now, git.changes(tree.commit, without=lent))
        own, texts = compare(stored, then.record), list[str]()
        if is_around := not against.commit and own.verdict == "different":
            others = _other_sources(git, tree.commit, stored)
            texts.append(environment_text(own, about, others, origin(root, "")))
        if found.comparison.deviations or not texts:
            texts.append(explanation_text(found, about, root, tree.root))
        return bool(found.comparison.deviations) or is_around, "\n".join(texts)


def _traced(runs: Both, asked: _Asked) -> tuple[Side, Side]:
    """Return the training at the commit and here, traced around the step where they part."""
    then, now = runs.traced(asked.check, asked.step)
    stored = asked.stored or Baseline(then.record)
    first = _step(compare(as_baseline(stored, then), now.record))
    return (then, now) if first == asked.step else runs.traced(asked.check, first)


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
