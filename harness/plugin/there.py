"""A session in the tree of another commit: it makes the baselines that a session of today is held against."""

from pathlib import Path

import pytest

from harness.elsewhere.kept import Notes, Tried
from harness.elsewhere.sessions import Order, reason
from harness.plugin import whole_project
from harness.plugin.claims import Claims, skip_reason
from harness.plugin.gated_test import id_of
from harness.plugin.session import Session


_OFF = (
    *("mpl", "mpl_generate_hash_library", "mpl_results_path", "mpl_baseline_path"),
    *(
        "training_against",
        "training_ci",
        "training_equivalence",
        "training_gate_power",
        "training_on",
        "training_shard",
    ),
    *("training_slower", "training_strict", "training_tensorboard", "training_verify"),
    *("keyword", "markexpr", "deselect", "lf", "stepwise", "splits"),
)
"""Options of the session that asks which are not for this one: it only writes, and the tests are chosen already."""


def carry_out(config: pytest.Config, order: Order) -> None:
    """Have this session write the baselines that it was asked for, and nothing else."""
    for name in _OFF:
        if hasattr(config.option, name):
            setattr(config.option, name, "" if name in ("keyword", "markexpr") else None)
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


class There:
    """Hooks that run the tests that were asked for, and answer what became of them.

    Args:
        order: of the session that asks.
        claims: on baselines in this session.
        session: its state.
    """

    def __init__(self, order: Order, claims: Claims, session: Session) -> None:
        self._order, self._claims, self._session = order, claims, session
        self._ids: dict[str, str] = {}
        self._tried: dict[str, Tried] = {}
        self._uncollected: dict[str, Tried] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what nobody asked for."""
        self._ids = {item.nodeid: id_of(item) for item in items}
        left_out = [item for item in items if id_of(item) not in self._order.tests]
        items[:] = [item for item in items if id_of(item) in self._order.tests]
        if left_out:
            config.hook.pytest_deselected(items=left_out)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note which files cannot be collected, and why."""
        if report.failed:
            self._uncollected[report.nodeid] = Tried("failed", f"it cannot be collected: {_cause(report)}")
        elif report.skipped:
            self._uncollected[report.nodeid] = Tried("skipped", skip_reason(report))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test: failing counts more than being skipped, and that more than passing."""
        test = self._ids.get(report.nodeid, "")
        if report.failed:
            self._tried[test] = Tried("failed", _cause(report))
        elif report.skipped:
            self._tried.setdefault(test, self._skipped(test, report))
        elif report.when == "call":
            self._tried.setdefault(test, Tried("made"))

    def _skipped(self, test: str, report: pytest.TestReport) -> Tried:
        """Return what a skip means: pytest-mpl skips what it has drawn."""
        files = [Path(self._order.folder, file) for file in self._claims.files.get(test, ())]
        is_made = files and all(file.exists() for file in files)
        return Tried("made") if is_made else Tried("skipped", skip_reason(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Answer, unless something is wrong that all tests have in common: another tree's code, no room."""
        if self._session.counts.problems:
            return
        tests = {test: self._tried.get(test) or self._untried(test) for test in self._order.tests}
        counts = self._session.counts
        gated = sorted(self._claims.files) if self._order.whole else None
        self._order.answer(Notes(tests, gated, len(counts.trainings), counts.seconds))

    def _untried(self, test: str) -> Tried:
        if test in self._ids.values():
            return Tried("failed", "the session ended before it")
        found = (tried for place, tried in self._uncollected.items() if test.startswith(place))
        return next(found, Tried("absent"))


def _cause(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return what a failure comes down to, in a line."""
    crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
    return crash.partition("\n")[0] or reason(str(report.longrepr))
