"""A session on a worker: it runs one test for another session, compares nothing, and hands out what the test checks."""

import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.explaining import files_read
from harness.plugin.command_line import switch_off
from harness.plugin.messages import cause_of, skip_reason
from harness.recording.imported import imported
from harness.workers.facts import digest_of
from harness.workers.worker import End, Errand


_CHOOSING = ("keyword", "markexpr", "deselect", "lf", "stepwise", "splits", "training_shard", "training_against")
"""Options by which the session that asks has chosen its tests already."""


class Hands:
    """Hooks that run the test and leave the answer."""

    def __init__(self, config: pytest.Config, errand: Errand) -> None:
        self._config, self._errand = config, errand
        self._end: End = "absent"
        self._children = _ended_children()
        self._text = self._cause = ""
        files_read.noted()
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
        alone = self._children == _ended_children() and not multiprocessing.active_children()
        self._errand.leave(self._end, self._text, self._cause, self._read(), alone=alone)

    def _read(self) -> Mapping[str, str]:
        """Return the files that the test's result may depend on, also by their absence; its own folder is gone."""
        root, own = self._config.rootpath, self._errand.folder
        files = [Path(file) for file in [*files_read.noted()]] + imported(root)
        others = [file for file in files if not file.is_relative_to(own) and (file.is_file() or not file.exists())]
        return {os.fspath(file): digest_of(file) for file in dict.fromkeys(others)}


def _ended_children() -> object:
    """Return what changes as soon as a child of this process has ended; nobody knows what that one has read."""
    try:
        import resource
    except ImportError:  # on Windows
        return object()
    return resource.getrusage(resource.RUSAGE_CHILDREN)
