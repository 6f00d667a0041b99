"""`harness accept`: make the results of failed comparisons the baselines, without training again."""

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.baselines import failed as candidates
from harness.baselines.failed import Candidate, Project
from harness.baselines.origin import is_reason
from harness.baselines.store import possible_names
from harness.commands.project import OUTPUT, add_places, failed_results, project
from harness.commands.verify import verify
from harness.errors import AcceptError, HarnessError
from harness.record.environment import DEVICES
from harness.report.markdown import code
from harness.report.words import commit_text


_LATER = "have to be measured: harness doctor --verify"


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "accept",
        help="make the results of failed comparisons the baselines",
        description="Make the results of failed comparisons the baselines, and print a table for the pull request.",
    )
    parser.add_argument("names", nargs="*", help="baselines (also patterns: 'test_a*') or tests; default: all")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why the baselines change")
    parser.add_argument(
        "--no-training",
        action="store_true",
        help="leave thresholds unmeasured that a result of another structure loses",
    )
    add_places(parser, "as the project's ini file says")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Accept what can be accepted; say why of the rest."""
    if not is_reason(given.reason):
        raise AcceptError.no_reason(option="--reason")
    where = project(given)
    folder = failed_results(where.root)
    accepted, refused, unmeasured = [], [], []
    for candidate in _chosen(folder, given.names):
        try:
            if candidates.accept(folder, where, candidate, given.reason):
                unmeasured.append(candidate)
            accepted.append(candidate)
        except HarnessError as error:
            refused.append(str(error))
    if accepted:
        print(accepted_table(where, accepted, given.reason))
    for message in refused:
        print(message, file=sys.stderr)
    return int(_measure(where, unmeasured, trains=not given.no_training) or bool(refused))


def _measure(where: Project, accepted: Sequence[Candidate], *, trains: bool) -> int:
    """Train what is of another structure than its former baseline again, to measure its thresholds."""
    named = [candidate for candidate in accepted if trains and _is_by_its_test(where.root, candidate)]
    for candidates_, what in ((named, "are measured now"), ([c for c in accepted if c not in named], _LATER)):
        if candidates_:
            names = ", ".join(candidate.name for candidate in candidates_)
            print(f"\nOf another structure than before, so that their thresholds {what}: {names}")
    return verify(where.root, where.baselines, [candidate.test for candidate in named]) if named else 0


def _is_by_its_test(root: Path, candidate: Candidate) -> bool:
    """Tell whether the test that a note names is the one whose baseline this is, in a file of the project's own.

    A note may come from anywhere, and naming a test makes it run.
    """
    file, output = (root / candidate.test.partition("::")[0]).resolve(), (root / OUTPUT).resolve()
    names = possible_names(candidate.test, DEVICES)
    own = file.is_file() and file.is_relative_to(root.resolve()) and not file.is_relative_to(output)
    return own and candidate.name.partition(",")[0] in names


def _chosen(folder: Path, names: Sequence[str]) -> list[Candidate]:
    """Return the candidates of these names, all without any; AcceptError if no candidate has one of the names."""
    known = candidates.candidates(folder)
    for name in names:
        if not any(_is_called(candidate, name) for candidate in known):
            all_names = dict.fromkeys(candidate.name for candidate in known)
            raise AcceptError.unknown(name=name, place=folder, known=all_names)
    return [candidate for candidate in known if not names or any(_is_called(candidate, name) for name in names)]


def _is_called(candidate: Candidate, name: str) -> bool:
    texts = (candidate.name, candidate.file, candidate.test, candidate.test.partition("[")[0])
    return name in texts or fnmatchcase(candidate.name, name)


def accepted_table(where: Project, accepted: Sequence[Candidate], reason: str) -> str:
    """Return Markdown: the reason, and a row a baseline, by its path from the root."""
    folder = Path(os.path.relpath(where.baselines, where.root))
    rows = [(str(folder / each.file), each.difference, commit_text(each.origin)) for each in accepted]
    head = ["| baseline | how it differs from the former one | measured at commit |", "|---|---|---|"]
    lines = [f"| {' | '.join(code(cell) if cell else '' for cell in row)} |" for row in rows]
    return "\n".join([f"Baselines accepted: {' '.join(reason.split())}", "", *head, *lines])
