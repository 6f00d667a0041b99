"""`harness accept`: make the results of failed comparisons the baselines, without training again."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.baselines import failed as candidates
from harness.baselines.failed import Candidate
from harness.baselines.origin import is_reason
from harness.commands.project import add_root, failed_results, project_root
from harness.commands.verify import verify
from harness.errors import AcceptError, HarnessError
from harness.report.words import commit_text


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
    add_root(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Accept what can be accepted; say why of the rest."""
    if not is_reason(given.reason):
        raise AcceptError.no_reason(option="--reason")
    root = project_root(given.root)
    folder = failed_results(root)
    accepted, refused, unmeasured = [], [], []
    for candidate in _chosen(folder, given.names):
        try:
            if candidates.accept(folder, root, candidate, given.reason):
                unmeasured.append(candidate)
            accepted.append(candidate)
        except HarnessError as error:
            refused.append(str(error))
    if accepted:
        print(accepted_table(accepted, given.reason))
    for message in refused:
        print(message, file=sys.stderr)
    return int(_measure(root, unmeasured, trains=not given.no_training) or bool(refused))


def _measure(root: Path, accepted: Sequence[Candidate], *, trains: bool) -> int:
    """Train what is of another structure than its former baseline again, to measure its thresholds."""
    if not accepted:
        return 0
    names = ", ".join(candidate.name for candidate in accepted)
    what = "are measured now" if trains else "have to be measured: harness doctor --verify"
    print(f"\nOf another structure than before, so that their thresholds {what}: {names}")
    if not trains:
        return 0
    words = [word for candidate in accepted for word in shlex.split(candidate.command)]
    options = dict.fromkeys(word for word in words if word.startswith(("--cifar10=", "--device=")))
    folder = (root / accepted[0].baseline).parent
    return verify(root, folder, [candidate.test for candidate in accepted], [*options])


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


def accepted_table(accepted: Sequence[Candidate], reason: str) -> str:
    """Return Markdown: the reason, and a row a baseline."""
    rows = [f"| `{_cell(c.name)}` | {_cell(c.difference)} | {_cell(commit_text(c.origin))} |" for c in accepted]
    head = ["| baseline | how it differs from the former one | measured at commit |", "|---|---|---|"]
    return "\n".join([f"Baselines accepted: {_cell(reason)}", "", *head, *rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
