"""A session on a worker: it runs one test for another session, compares nothing, and hands out what the test checks."""

import pytest

from harness.plugin.command_line import switch_off
from harness.plugin.messages import cause_of, skip_reason
from harness.workers.facts import read_here
from harness.workers.worker import End, Errand


_CHOOSING = ("keyword", "markexpr", "deselect", "lf", "stepwise", "splits", "training_shard", "training_against")
"""Options by which the session that asks has chosen its tests already."""


class OnWorker:
    """Hooks that run the test and leave the answer."""

    def __init__(self, config: pytest.Config, errand: Errand) -> None:
        self._config, self._errand = config, errand
        self._end: End = "absent"
        self._text = self._cause = ""
        errand.begin()
        switch_off(config, _CHOOSING)
        config.args[:] = [str(config.rootpath / errand.test.partition("::")[0])]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say why the test's file cannot be collected."""
        if report.failed:
            self._text = report.longreprtext

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of the test; a failure counts more than what comes after it."""
        if self._end == "failed":
            return
        if report.failed:
            captured = [f"{title}, on the worker:\n{text.rstrip()}" for title, text in report.sections if text.strip()]
            self._end, self._text = "failed", "\n".join([report.longreprtext, *captured])
            self._cause = cause_of(report)
        elif report.skipped:
            reason = getattr(report, "wasxfail", None)
            self._end, self._text = ("skipped", skip_reason(report)) if reason is None else ("xfailed", reason)
        elif report.when == "call":
            self._end = "passed"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the answer."""
        errand, read = self._errand, read_here(self._config.rootpath, self._errand.folder)
        errand.leave(self._end, self._text, self._cause, read, alone=errand.is_alone)
