"""A session in the tree of another commit: it makes the baselines that a session of today is held against."""

from pathlib import Path

import pytest

from harness.elsewhere.kept import Notes, Tried
from harness.elsewhere.sessions import Order
from harness.plugin import whole_project
from harness.plugin.claims import Claims
from harness.plugin.command_line import switch_off
from harness.plugin.gated_test import id_of
from harness.plugin.selection import keep
from harness.plugin.session import Session


_OFF = (
    *("mpl", "mpl_generate_hash_library", "mpl_results_path", "mpl_baseline_path", "keyword", "markexpr", "deselect"),
    *("training_against", "training_ci", "training_equivalence", "training_gate_power", "training_on"),
    *("training_shard", "training_slower", "training_strict", "training_tensorboard", "training_verify"),
    *("lf", "stepwise", "splits"),
)
"""Options of the session that asks which are not for this one: it only writes, and the tests are chosen already."""


def carry_out(config: pytest.Config, order: Order) -> None:
    """Have this session write the baselines that it was asked for, and nothing else."""
    switch_off(config, _OFF)
    config.option.mpl_generate_path = order.folder
    config.option.training_generate = ("add",)
    config.option.training_reason = order.reason
    config.option.training_cifar10 = order.cifar10
    config.option.training_output = order.scratch
    config.args[:] = whole_project.places(config) if order.whole else _files(config, order)


def _files(config: pytest.Config, order: Order) -> list[str]:
    """Return the files of the tests that are there."""
    names = dict.fromkeys(test.partition("::")[0] for test in order.tests)
    return [str(file) for name in names if (file := config.rootpath / name).is_file()]


class InTree:
    """Hooks that run the tests that were asked for, and answer what became of them."""

    def __init__(self, order: Order, claims: Claims, session: Session) -> None:
        self._order, self._claims, self._session = order, claims, session
        self._nodeids: dict[str, str] = {}  # id of a test to pytest's

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what nobody asked for."""
        self._nodeids = {id_of(item): item.nodeid for item in items}
        keep(config, items, self._order.tests)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Answer, unless something is wrong that all tests have in common: another tree's code, no room."""
        counts = self._session.counts
        if not counts.problems:
            gated = sorted(self._claims.files) if self._order.whole else None
            tests = {test: self._tried(test) for test in self._order.tests}
            self._order.answer(Notes(tests, gated, len(counts.trainings), counts.seconds))

    def _tried(self, test: str) -> Tried:
        """Return what became of a test; a skip may be pytest-mpl's, which skips what it has drawn."""
        outcome = self._claims.reported.get(self._nodeids.get(test, ""))
        if outcome is None:
            return self._untried(test)
        files = [Path(self._order.folder, file) for file in self._claims.files.get(test, ())]
        if outcome.word == "failed":
            return Tried("failed", outcome.reason)
        is_made = outcome.word == "passed" or (files and all(file.exists() for file in files))
        return Tried("made") if is_made else Tried("skipped", outcome.reason)

    def _untried(self, test: str) -> Tried:
        if test in self._nodeids:
            return Tried("failed", "the session ended before it")
        found = (outcome for place, outcome in self._claims.uncollected.items() if test.startswith(place))
        outcome = next(found, None)
        if outcome is None:
            return Tried("absent")
        if outcome.word == "skipped":
            return Tried("skipped", outcome.reason)
        return Tried("failed", f"it cannot be collected: {outcome.reason}")
