"""A commit whose trainings are the measure, and the trainings of other commits, held against it in their own trees."""

import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path
from typing import Literal, Self

import msgspec

from harness.atomic_files import read, write
from harness.baselines.store import load_baseline
from harness.elsewhere import sessions
from harness.elsewhere.trees import Tree, cache, tree_of
from harness.errors import ReportError, TreeError
from harness.report import json_form
from harness.report.json_form import Results


ARGUMENTS = (
    *("-q", "--maxfail=0", "--tb=short", "--color=no"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of the harness, under filterwarnings = error
    *(("-n0",) if util.find_spec("xdist") else ()),
)
"""Of pytest in another tree: what a project adds for itself is for its own sessions."""
_TELLING = ("ERROR", "FAILED", "E  ", "FATAL")
"""How lines of pytest's begin that say why something did not run."""
_OUTPUT = ".training-regression-output"
"""Folder of a tree for what its session leaves."""


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
        is_new: whether it was trained just now.
        traced: whether a training that differs is run again, for the line that it comes from.
    """

    root: Path
    folder: Path
    tests: Sequence[str]
    names: frozenset[str]
    is_new: bool = False
    traced: bool = False

    @classmethod
    def of(cls, root: Path, commit: str, tests: Sequence[str]) -> Self:
        """Return the measure that a commit is; it is trained unless it was before.

        Args:
            root: of the project.
            commit: its whole name.
            tests: ids or files, from the root.

        Raises:
            TreeError: it cannot be trained.
        """
        folder = cache(root) / "bisect" / commit / _digest([_situation(), *_contents(root, tests)])
        place = folder / "made.json"
        if is_new := not place.exists():
            write(place, json.dumps(_made(root, commit, tests, folder)).encode())
        owners = json.loads(read(place))
        files = sorted({test.partition("::")[0] for test in owners.values()})
        return cls(root, folder, tests or files, frozenset(owners), is_new)

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
        try:
            with tree_of(self.root, commit) as tree:
                lent = _lend(tree, self.root, self.tests)
                arguments = [f"--mpl-baseline-path={self._baselines}", *self.tests]
                results, output = _session(tree, self.root, arguments)
        except TreeError as error:
            return Judged("not run", [], [], error.what)
        judged = judge(results, self.names, lent, _reason(output))
        if judged.verdict != "not run":
            write(self._place(commit), msgspec.json.encode(judged))
        return judged

    def _place(self, commit: str) -> Path:
        return self.folder / f"{commit}-{_digest([str(self.traced), *_contents(self.root, self.tests)])}.json"


def _made(root: Path, commit: str, tests: Sequence[str], folder: Path) -> dict[str, str]:
    """Write the baselines of a commit, with the operations of its trainings and without them.

    Returns:
        The names of their files, each with the id of its test.

    Raises:
        TreeError: there are none.
    """
    traced = folder / "traced"
    with tree_of(root, commit) as tree:
        _lend(tree, root, tests)
        writing = [f"--mpl-generate-path={traced}", "--training-generate=missing"]  # which leaves other tests out
        results, output = _session(tree, root, [*writing, *tests])
    entries = results.ledger.entries if results else []
    made = {each.baseline: each.test for each in entries if (traced / each.baseline).exists()}
    owners = {name: test for name, test in made.items() if name.endswith(".json")}
    if not owners:
        raise TreeError.untrained(commit=commit, reason=_reason(output))
    (folder / "baselines").mkdir(exist_ok=True)
    for file in traced.iterdir():
        (folder / "baselines" / file.name).write_bytes(_untraced(file))
    return owners


def _untraced(file: Path) -> bytes:
    """Return what a file of a baseline holds beside operations."""
    if file.suffix != ".json":
        return file.read_bytes()
    return replace(load_baseline(file, ""), trace=None).to_text().encode()


def judge(results: Results | None, names: frozenset[str], lent: list[str], reason: str) -> Judged:
    """Return what a session means.

    Args:
        results: that it left, if it did.
        names: files of the baselines that it was to compare.
        lent: test files.
        reason: what it printed.
    """
    found = [each for each in (results.results if results else ()) if each.training and each.baseline in names]
    differing = [(each.test, each.baseline, each.text) for each in found if each.verdict == "different"]
    if differing:
        return Judged("different", differing, lent, "")
    if {each.baseline for each in found} != names:
        return Judged("not run", [], lent, reason)
    unjudged = [each.text.partition("\n")[0] for each in found if not each.is_judged]
    return Judged("not judged", [], lent, unjudged[0]) if unjudged else Judged("same", [], lent, "")


def _session(tree: Tree, root: Path, arguments: Sequence[str]) -> tuple[Results | None, str]:
    """Run pytest in a tree; return the results that it left, if any, and what it printed."""
    output = tree.top / _OUTPUT
    done = sessions.pytest_in(tree, [*ARGUMENTS, f"--training-output={output}", *arguments], root)
    try:
        return json_form.read(output / "results.json"), done.stdout
    except ReportError:
        return None, done.stdout


def _lend(tree: Tree, root: Path, tests: Iterable[str]) -> list[str]:
    """Copy today's test files to a tree that lacks them, with each conftest.py that it lacks; return their names."""
    lent = []
    for file in _files(root, tests):
        if (root / file).is_file() and not (tree.root / file).exists():
            beside = [folder / "conftest.py" for folder in file.parents]
            lent += [each.as_posix() for each in (file, *beside) if _copied(root / each, tree.root / each, tree.top)]
    return lent


def _copied(source: Path, target: Path, top: Path) -> bool:
    """Copy a file to a tree if it is not there; not by way of a link that leads out of it."""
    inside = target.parent.resolve().is_relative_to(top.resolve())
    if not source.is_file() or target.exists() or not inside:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True


def _files(root: Path, tests: Iterable[str]) -> list[Path]:
    """Return the files of tests, from the root of the project, which others' are not below."""
    files = sorted({Path(test.partition("::")[0]) for test in tests})
    return [file for file in files if not file.is_absolute() and ".." not in file.parts]


def _contents(root: Path, tests: Sequence[str]) -> list[str]:
    """Return tests with the contents of their files."""
    files = [root / file for file in _files(root, tests)]
    return [*tests, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file())]


def _situation() -> str:
    """Return what beside the code may change a training: versions and machine."""
    installed = sorted(f"{each.name} {each.version}" for each in metadata.distributions())
    return _digest([sys.version, platform.node(), *platform.uname(), *installed])


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _reason(output: str) -> str:
    """Return the line of a session's output that says best why something did not run."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    return next((line for line in reversed(lines) if line.startswith(_TELLING)), lines[-1])
