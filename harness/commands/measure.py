"""A commit whose trainings are the measure, and the trainings of other commits, held against it in their own trees."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Self

import msgspec

from harness.atomic_files import read, write
from harness.baselines.store import load_baseline
from harness.elsewhere import sessions
from harness.elsewhere.kept import Kept
from harness.elsewhere.lending import files_of, lend
from harness.elsewhere.trees import tree_of
from harness.errors import ReportError, TreeError
from harness.report import json_form
from harness.report.json_form import Results


ARGUMENTS = (
    *("-q", *sessions.PLAIN, "-o", "training_strict=false"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of the harness, under filterwarnings = error
)
"""Of pytest in another tree: what a project adds for itself is for its own sessions."""
_APART = dict.fromkeys(("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"), "")
"""Variables of a session that only looks."""
_TELLING = ("E  ", "ERROR", "FAILED", "")
"""How lines of pytest's begin that say why something did not run, the best first."""
_OUTPUT = ".training-regression-output"
"""Folder of a tree for what its session leaves."""


class Session(NamedTuple):
    """What a session in the tree of a commit left.

    Args:
        results: that count; None if there are none.
        reason: what it says of itself that may tell why.
        lent: today's test files, which the commit lacks.
    """

    results: Results | None
    reason: str
    lent: list[str]


class Judged(msgspec.Struct, frozen=True):
    """What became of a commit's trainings.

    Args:
        verdict: on all of them.
        differing: of those that differ: the test, the file of the baseline, and the message.
        lent: today's test files, which the commit lacks.
        reason: what its session printed last that may say why it could not be judged.
    """

    verdict: Literal["same", "different", "not judged", "not run"]
    differing: list[tuple[str, str, str]]
    lent: list[str]
    reason: str


@dataclass(frozen=True)
class Measure:
    """The baselines of a commit, made in its own tree.

    Args:
        root: of the project.
        folder: in the cache, of its baselines and of what was found of other commits.
        tests: pytest's ids or files, from the root; without any, all of the project.
        names: files of the baselines that count.
        setup: a command for the shell that makes a tree ready.
        is_new: whether it was trained just now.
        traced: whether a training that differs is run again, for the line that it comes from.
    """

    root: Path
    folder: Path
    tests: Sequence[str]
    names: frozenset[str]
    setup: str
    is_new: bool = False
    traced: bool = False

    @classmethod
    def of(cls, root: Path, commit: str, tests: Sequence[str], setup: str = "") -> Self:
        """Return the measure that a commit is; it is trained unless it was before.

        Args:
            root: of the project.
            commit: its whole name.
            tests: ids or files, from the root.
            setup: a command for the shell that makes a tree ready.

        Raises:
            TreeError: it cannot be trained.
        """
        folder = Kept.of(root, commit, [str(root.resolve()), setup, *_contents(root, tests)]).folder
        place = folder / "made.json"
        if is_new := not place.exists():
            write(place, json.dumps(_made(root, commit, setup, tests, folder)).encode())
        owners = json.loads(read(place))
        files = sorted({test.partition("::")[0] for test in owners.values()})
        return cls(root, folder, tests or files, frozenset(owners), setup, is_new)

    @property
    def _baselines(self) -> Path:
        return self.folder / ("traced" if self.traced else "baselines")

    def narrowed(self, judged: Judged) -> Self:
        """Return the part of it that a commit differs in: the only tests that others have to run."""
        tests, names, _ = zip(*judged.differing, strict=True)
        return replace(self, tests=sorted(set(tests)), names=frozenset(names))

    def known(self, commit: str) -> Judged | None:
        """Return what was found of a commit before; nothing of one that could not run, which may be able to now."""
        place = self._place(commit)
        return msgspec.json.decode(read(place), type=Judged) if place.exists() else None

    def judge(self, commit: str) -> Judged:
        """Run the tests in a commit's tree, and keep what was found."""
        arguments = [f"--mpl-baseline-path={self._baselines}"]
        try:
            session = _session(self.root, commit, self.setup, self.tests, arguments)
        except TreeError as error:
            return Judged("not run", [], [], error.what)
        judged = judge(session, self.names)
        if judged.verdict != "not run":
            write(self._place(commit), msgspec.json.encode(judged))
        return judged

    def _place(self, commit: str) -> Path:
        return self.folder / f"{commit}-{_digest([str(self.traced), *_contents(self.root, self.tests)])}.json"


def _made(root: Path, commit: str, setup: str, tests: Sequence[str], folder: Path) -> dict[str, str]:
    """Write the baselines of a commit, with the operations of its trainings and without them.

    Returns:
        The names of their files, each with the id of its test.

    Raises:
        TreeError: there are none.
    """
    traced = folder / "traced"
    writing = [f"--mpl-generate-path={traced}", "--training-generate=missing"]  # which leaves other tests out
    session = _session(root, commit, setup, tests, writing)
    entries = session.results.ledger.entries if session.results else []
    made = {each.baseline: each.test for each in entries if (traced / each.baseline).exists()}
    owners = {name: test for name, test in made.items() if name.endswith(".json")}
    if not owners:
        raise TreeError.untrained(commit=commit, reason=session.reason)
    (folder / "baselines").mkdir(exist_ok=True)
    for file in traced.iterdir():
        (folder / "baselines" / file.name).write_bytes(_untraced(file))
    return owners


def _untraced(file: Path) -> bytes:
    """Return what a file of a baseline holds beside operations."""
    if file.suffix != ".json":
        return file.read_bytes()
    return replace(load_baseline(file, ""), trace=None).to_text().encode()


def judge(session: Session, names: frozenset[str]) -> Judged:
    """Return what a session means for the baselines that it was to compare."""
    results = session.results.results if session.results else []
    found = [each for each in results if each.training and each.baseline in names]
    differing = [(each.test, each.baseline, each.text) for each in found if each.verdict == "different"]
    if differing:
        return Judged("different", differing, session.lent, "")
    if {each.baseline for each in found} != names:
        return Judged("not run", [], session.lent, session.reason)
    unjudged = [each.text.partition("\n")[0] for each in found if not each.is_judged]
    return Judged("not judged" if unjudged else "same", [], session.lent, "".join(unjudged[:1]))


def _session(root: Path, commit: str, setup: str, tests: Sequence[str], arguments: Sequence[str]) -> Session:
    """Run tests in the tree of a commit.

    Raises:
        TreeError: it cannot be checked out or made ready.
    """
    with tree_of(root, commit, setup) as tree:
        lent, output = lend(tree, root, tests), tree.top / _OUTPUT
        given = [*ARGUMENTS, f"--training-output={output}", *arguments, *tests]
        printed = sessions.pytest_in(tree, given, root, _APART).stdout.replace(f"{tree.root}{os.sep}", "")
        try:
            results = json_form.read(output / "results.json")
        except ReportError:
            return Session(None, _reason(printed), lent)
    if problems := results.ledger.problems:  # what was compared may not be this commit's
        return Session(None, problems[0], lent)
    return Session(results, _reason(printed), lent)


def _contents(root: Path, tests: Sequence[str]) -> list[str]:
    """Return tests with the contents of their files."""
    files = [root / file for file in files_of(tests)]
    return [*tests, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file())]


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _reason(output: str) -> str:
    """Return the line of a session's output that says best why something did not run."""
    lines = [line for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    said = [[line for line in reversed(lines) if line.startswith(start)] for start in _TELLING]
    return next(each[0] for each in said if each).removeprefix("E  ").strip()
