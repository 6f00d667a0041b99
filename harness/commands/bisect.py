"""`harness bisect`: the first commit whose training differs."""

import argparse
import shlex
import time
from dataclasses import dataclass, field, replace
from typing import Any, Self

from harness.commands.judge import Judge, Judged
from harness.commands.project import add_root, project_root
from harness.commands.revisions import add_setup, named
from harness.elsewhere.search import History, check_related, differed_before, first_differing
from harness.elsewhere.trees import commit_of, titled
from harness.errors import TreeError
from harness.inert import inert_line
from harness.report.words import number, rows_text


_MOST = 3
"""Tests whose message is printed."""
_SHOWN = (["where"], ["first"])
"""Rows of it."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "bisect",
        help="the first commit whose training differs",
        description="Find the first commit whose training differs from GOOD's, between GOOD and BAD. Each is trained "
        "in a tree of its own; those that cannot run are skipped, and what was found is kept for the next time. "
        "Exit status: 0 if BAD's training does not differ, 1 if it does, 2 in trouble.",
        epilog="example: harness bisect v1.0 HEAD 'tests/test_a.py::test_b'",
    )
    parser.add_argument("good", metavar="GOOD", help="commit whose training is the measure")
    what = "commit whose training differs, default: HEAD; then tests, or files of them, default: all"
    parser.add_argument("words", metavar="BAD | TEST", nargs="*", help=what)
    parser.add_argument("--first-parent", action="store_true", help="leave out what merges brought")
    add_setup(parser)
    add_root(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Search, and print each step; return 1 if there is a commit to be found."""
    root = project_root(given)
    good, bad, tests = named(root, [given.good, *given.words])
    bad = bad or commit_of(root, "HEAD")
    title = titled(given.good, good)
    steps = Steps(History(root, given.first_parent), Judge(root, good, title, tests, given.setup))
    found = steps.judged(bad)
    if found.verdict == "same":
        same = f"the training of {bad[:12]} does not differ from that of {title}: there is no commit to be found"
        print(f"{same} (what is not committed is left out)")
        return 0
    if found.verdict != "different":
        raise TreeError.undecided(commit=bad, reason=found.reason)
    print(steps.narrowed(found).searched(bad))
    return 1


@dataclass(frozen=True)
class Steps:
    """A search, each step of which is printed."""

    history: History  # that is searched
    judge: Judge  # holds commits against the good one
    known: dict[str, Judged] = field(default_factory=dict)  # commits that were judged in this search

    def narrowed(self, found: Judged) -> Self:
        """Return the search for what a commit differs in alone."""
        return replace(self, judge=self.judge.narrowed(found))

    def judged(self, commit: str) -> Judged:
        """Judge a commit, if nothing is known of it, and print the step."""
        if commit not in self.known:
            began = time.monotonic()
            found, is_kept = self.judge.judged(commit)
            self.known[commit] = found
            took = None if is_kept else time.monotonic() - began
            lent = [f"with today's {', '.join(found.lent)}"] if found.lent else []
            print(_line(self.history, commit, found.verdict, took, *lent, found.reason), flush=True)
        return self.known[commit]

    def differs(self, commit: str) -> bool | None:
        """Tell whether a commit's training differs; None if that cannot be said."""
        return {"different": True, "same": False}.get(self.judged(commit).verdict)

    def searched(self, bad: str) -> str:
        """Search down from a commit that differs, and return what was found, in words."""
        good = self.judge.good
        check_related(self.history, good, bad, self.differs)
        first, *others = first_differing(self.history, good, bad, self.differs)
        if others:
            headline = "the first commit whose training differs is one of these; all but the last cannot be judged"
            return "\n".join([headline, *(_line(self.history, each, "", None) for each in (first, *others))])
        is_older = differed_before(self.history, good, first, self.differs)
        judge = self.judge
        return found_text(self.history, judge.title, first, self.judged(first), judge.setup, is_older=is_older)


def _line(history: History, commit: str, verdict: str, took: float | None, *notes: str) -> str:
    about, said = history.about(commit), "; ".join(filter(None, notes))
    seconds = "kept" if took is None else f"{took:.1f} s"
    step = f"{verdict:<10}  {seconds:>7}  " if verdict else ""
    return inert_line(f"{about.id}  {step}{about.subject}" + (f"   ({said})" if said else ""))


def found_text(history: History, good: str, first: str, judged: Judged, setup: str, *, is_older: bool) -> str:
    """Say which commit it is, and what begins there.

    An older one is of a branch that differed before it left the good commit's line.
    """
    about, parent = history.about(first), history.parents(first)[0][:12]
    ready = ["--setup", setup] if setup else []
    tests = sorted({test for test, *_ in judged.differing[:_MOST]})
    rows = {
        "commit": first,
        "author": f"{about.author}, {about.when:%Y-%m-%d %H:%M}",
        "subject": about.subject,
        "beside": "its branch left before, and differs from its beginning: --first-parent" if is_older else "",
        "explain": shlex.join(["harness", "explain", "--against", parent, *ready, *tests]),
    }
    headline = f"{about.id} is the first commit whose training differs from that of {good}"
    messages = [_shortened(test, text) for test, _, text in judged.differing[:_MOST]]
    more = len(judged.differing) - len(messages)
    return "\n".join([rows_text(headline, rows), *messages, *([f"and {number(more, 'more test')}"] if more else [])])


def _shortened(test: str, text: str) -> str:
    """Return the head of a message, and the rows that say where and how a training first differs."""
    headline, *rows = text.splitlines()
    shown = [row for row in rows if row.split(maxsplit=1)[:1] in _SHOWN]
    return "\n".join([f"{inert_line(test)}: {headline}", *shown])
