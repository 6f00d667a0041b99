"""`harness accept`: make the results of failed comparisons the baselines, without training again."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.baselines import failed as candidates
from harness.baselines.failed import Candidate, Project
from harness.baselines.origin import is_reason
from harness.baselines.store import possible_names
from harness.commands.names import called, near
from harness.commands.project import add_places, failed_results, output, project
from harness.commands.verify import verify
from harness.errors import AcceptError, HarnessError
from harness.record.environment import DEVICES
from harness.report.markdown import code
from harness.report.words import commit_text, sources_text


_LATER = "have to be measured: harness doctor --verify"


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "accept",
        help="make the results of failed comparisons the baselines",
        description="Make the results of failed comparisons, and those that have no baseline yet, the baselines, and "
        "print a table for the pull request.",
        epilog="example: harness accept 'tests/test_a.py::test_b[cpu]' --reason \"a larger rate learns faster\"",
    )
    parser.add_argument(
        "names", nargs="*", help="baselines, parts or patterns ('*_b') of names, files or tests; default: all"
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why the baselines change")
    parser.add_argument(
        "--no-training",
        action="store_true",
        help="leave thresholds unmeasured where the result has no former baseline, or one of another structure",
    )
    add_places(parser, "as the project's ini file says")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Accept what can be accepted; say why of the rest."""
    if not is_reason(given.reason):
        raise AcceptError.no_reason(option="--reason")
    where = project(given)
    folder = failed_results(given)
    accepted, refused, unmeasured = [], [], []
    for candidate in chosen(folder, given.names, where.root):
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
    own = [] if given.no_training else [each for each in unmeasured if is_by_its_test(where, output(given), each)]
    measured = _measure(where, own, [each for each in unmeasured if each not in own], given.output)
    return 2 if refused else measured


def _measure(where: Project, now: Sequence[Candidate], later: Sequence[Candidate], output: Path | None) -> int:
    """Train again, to measure thresholds, what is new, or of another structure than its former baseline."""
    for candidates_, what in ((now, "are measured now"), (later, _LATER)):
        if candidates_:
            names = ", ".join(candidate.name for candidate in candidates_)
            print(f"\nNew, or of another structure than before, so that their thresholds {what}: {names}")
    return verify(where.root, where.baselines, [candidate.test for candidate in now], output) if now else 0


def is_by_its_test(where: Project, output: Path, candidate: Candidate) -> bool:
    """Tell whether the test that a note names is the one whose baseline this is, in a file of the project's own.

    A note may come from anywhere, and naming a test makes it run.
    """
    file = (where.root / candidate.test.partition("::")[0]).resolve()
    names = possible_names(candidate.test, DEVICES)
    own = file.is_file() and file.is_relative_to(where.root.resolve()) and not file.is_relative_to(output.resolve())
    return own and candidate.name.partition(",")[0] in names


def chosen(folder: Path, names: Sequence[str], root: Path) -> list[Candidate]:
    """Return the candidates that these words mean, all without any; AcceptError if one of them means none."""
    known = candidates.candidates(folder)
    chosen: list[Candidate] = []
    for name in names:
        found = [each for each in known if each.test == name] or called(name, known, root)
        if not found:
            raise AcceptError.unknown(name=name, place=folder, near=near(name, known) or [each.name for each in known])
        chosen += found
    return [each for each in known if not names or each in chosen]


def accepted_table(where: Project, accepted: Sequence[Candidate], reason: str) -> str:
    """Return Markdown: the reason, and a row a baseline, by its path from the root."""
    folder = Path(os.path.relpath(where.baselines, where.root))
    rows = [
        (str(folder / each.file), each.difference, commit_text(each.origin), sources_text(each.sources))
        for each in accepted
    ]
    head = ["| baseline | how it differs from the former one | measured at commit | made from |", "|---|---|---|---|"]
    lines = [f"| {' | '.join(code(cell) if cell else '' for cell in row)} |" for row in rows]
    return "\n".join([f"Baselines accepted: {' '.join(reason.split())}", "", *head, *lines])
