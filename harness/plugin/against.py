"""`--training-against=REF`: the baselines of a session are those that another commit's own tests make here and now."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import pytest

from harness.baselines.origin import git_output
from harness.elsewhere.asked import Asked
from harness.elsewhere.kept import Kept, Notes
from harness.elsewhere.lending import contents
from harness.elsewhere.rerun import Reruns
from harness.elsewhere.sessions import Order
from harness.elsewhere.trees import Tree, commit_of, titled, tree_of
from harness.errors import HarnessError, SuiteError, TreeError
from harness.explaining.git import Git
from harness.plugin import whole_project
from harness.plugin.claims import Claims
from harness.plugin.command_line import (
    command_line,
    from_controller,
    refuse_beside,
    rerun_arguments,
    there,
    what_trains,
)
from harness.plugin.gated_test import id_of
from harness.plugin.messages import refuse
from harness.plugin.session import Session
from harness.report.words import number


_OTHERS = {
    "--mpl-generate-path": "mpl_generate_path",
    "--mpl-baseline-path": "mpl_baseline_path",
    "--training-equivalence": "training_equivalence",
    "--training-verify": "training_verify",
}
"""Options of sessions that write baselines, or need stored ones, and where pytest keeps them."""


@dataclass(frozen=True)
class Against:
    """The commit that a session is held against."""

    config: pytest.Config
    name: str  # that the user gave it
    commit: str  # its whole name
    cifar10: str  # where it is; empty for nowhere
    around: str  # what else its trainings may depend on

    @classmethod
    def of(cls, config: pytest.Config, cifar10: str) -> Self:
        """Return what a session was asked to be held against.

        Raises:
            SuiteError: another option says where baselines come from.
            TreeError: there is no such commit.
        """
        name = config.getoption("--training-against")
        refuse_beside(config, _OTHERS, SuiteError.two_sources)
        if given := from_controller(config):
            return cls(config, name, given["commit"], cifar10, given["around"])
        if tree := Tree.from_environment():
            cifar10 = str(tree.home(Path(cifar10))) if cifar10 else ""
        return cls(config, name, commit_of(config.rootpath, name), cifar10, " ".join(what_trains(config)))

    @property
    def title(self) -> str:
        """What it is called: `main (9f8e7d2)`."""
        return self.asked.against if self.asked else titled(self.name, self.commit)

    @property
    def short(self) -> str:
        """What a command line calls it: a name that is part of the commit's own says nothing more."""
        return self.commit[:12] if self.commit.startswith(self.name) else self.name

    @cached_property
    def asked(self) -> Asked | None:
        """What a command asks of this session, if one has started it."""
        return Asked.from_environment()

    @cached_property
    def _git(self) -> Git:
        return Git(self.config.rootpath)

    def former(self, test: str) -> str:
        """Return the id that a test has there."""
        return self._git.former(self.commit, test)

    def was(self, test: str) -> str:
        """Say which name the file of a test has there, if it is another: `tests/a.py (was tests/old.py)`."""
        file, former = (each.partition("::")[0] for each in (test, self.former(test)))
        return "" if file == former else f"{file} (was {former})"

    @cached_property
    def kept(self) -> Kept:
        """Its baselines."""
        place = (git_output(self.config.rootpath, "rev-parse", "--show-prefix") or b"").hex()
        return Kept.of(self.config.rootpath, self.commit, [place, self.cifar10, self.around, *self._lent()])

    def _lent(self) -> list[str]:
        """Return today's test files that the commit lacks and is lent, each with what it holds."""
        if self.asked is None or not self.asked.lent:
            return []
        has = self._git.contents(self.commit, self.asked.lent)
        return contents(Path(self.asked.root), [file for file in self.asked.lent if file not in has])

    @cached_property
    def notes(self) -> Notes:
        """What became of its tests."""
        return self.kept.notes()

    def trouble(self, test: str) -> TreeError | None:
        """Return why a test has no baseline although the commit has the test; None if it has none.

        What was skipped there runs here: it is tried again by the next session.
        """
        tried = self.notes.tests.get(self.former(test))
        if tried is None or tried.fate not in ("failed", "skipped"):
            return None
        if tried.fate == "skipped":
            self.kept.forget(self.former(test))
        reason = tried.reason or "it gave no reason"
        said = f"it is skipped there: {reason}" if tried.fate == "skipped" else reason
        return TreeError.not_run(nodeid=test, name=self.title, reason=said)

    def vanished(self, present: Collection[str]) -> list[str]:
        """Return the gated tests of the commit that are no longer there; none where not all tests were collected."""
        gone = {*(self.notes.gated or ())} - {*map(self.former, present)}
        return [] if whole_project.is_narrowed(self.config) else sorted(gone)

    def require(self, tests: Collection[str], *, whole: bool) -> Notes | None:
        """Have the baselines of tests made that are not kept; return what was done, None for nothing.

        Raises:
            TreeError: they cannot be made.
        """
        made = self.kept.require([*map(self.former, tests)], self._make, whole=whole)
        vars(self).pop("notes", None)
        return made

    def _make(self, tests: Sequence[str], whole: bool) -> Notes:
        if reporter := self.config.pluginmanager.getplugin("terminalreporter"):
            reporter.write_line(f"training at {self.title}: {number(len(tests), 'test')}")
        with self._tree() as tree:
            arguments = there(self.config, tree, rerun_arguments(self.config, tree.scratch))
            here = Path(command_line(self.config)[1])
            return self._order(tests, tree.scratch, whole=whole).run(tree, self.title, arguments, here)

    @contextmanager
    def _tree(self) -> Iterator[Tree]:
        with tree_of(self.config.rootpath, self.commit, self.config.getoption("--training-setup")) as tree:
            if self.asked:
                self.asked.lend(tree)
            yield tree

    def _order(self, tests: Sequence[str], scratch: Path, *, whole: bool) -> Order:
        return Order(
            tests=[*tests],
            folder=str(self.kept.folder),
            scratch=str(scratch),
            whole=whole,
            reason=f"as in {self.commit[:12]}",
            cifar10=self.cifar10,
        )

    @cached_property
    def reruns(self) -> Reruns:
        """Runs its tests again, in a tree that is there until the session ends."""
        stack = ExitStack()
        self.config.add_cleanup(stack.close)
        tree = stack.enter_context(self._tree())
        order = self._order([*self.notes.tests], tree.scratch, whole=False)
        variables = {**tree.variables, **order.variables}
        here = tree.place(Path(command_line(self.config)[1]))
        reruns = Reruns(
            here if here.is_dir() else tree.root,
            lambda folder: there(self.config, tree, rerun_arguments(self.config, folder)),
            "pytest",
            variables,
            tree.python,
        )
        stack.callback(reruns.close)
        return reruns


class Ready:
    """The hook that has the baselines ready before the first test runs."""

    def __init__(self, against: Against, claims: Claims, session: Session) -> None:
        self._against, self._claims, self._session = against, claims, session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have them made; of several workers the first does it, and the others wait."""
        chosen = {id_of(item) for item in session.items}
        owned = {test: files for test, files in self._claims.files.items() if self._is_compared(files)}
        if not owned or session.config.option.collectonly:
            return
        whole = not (session.testsfailed or whole_project.is_narrowed(session.config))
        try:
            made = self._against.require([test for test in owned if test in chosen], whole=whole)
        except HarnessError as error:
            refuse(session.config, error)
            return
        if made:
            trained = f"{number(made.trainings, 'training')} in {made.seconds:.1f} s"
            self._session.counts.elsewhere.append(f"trained there: {trained}")

    def _is_compared(self, files: Sequence[str]) -> bool:
        return self._session.comparing_figures or any(file.endswith(".json") for file in files)
