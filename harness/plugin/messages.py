"""Errors as messages of a failed test or a refused session, without a traceback through the harness; and read back."""

import contextlib
from collections.abc import Iterator

import pytest

from harness.errors import HarnessError
from harness.inert import inert, inert_line
from harness.plugin.command_line import from_controller


@contextlib.contextmanager
def messages() -> Iterator[None]:
    """Have an error of ours in a block fail the test with its text alone."""
    try:
        yield
    except HarnessError as error:
        raise failed(str(error), error.what) from None


def failed(text: str, cause: str = "") -> BaseException:
    """Return what fails a test with a text alone: one that a baseline had a word in does nothing to a terminal.

    Args:
        text: the whole message.
        cause: what pytest's summary of a session says of it in a line; empty for the first line of the text.
    """
    error = pytest.fail.Exception(inert(text), pytrace=False)
    vars(error)[_CAUSE] = inert_line(cause or text.partition("\n")[0])
    return error


_CAUSE = "training_regression_cause"


def put_cause_first(report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException] | None) -> None:
    """Have the lines that sum up a failure of ours (pytest's own, JUnit's message) say its cause, and no more."""
    cause = getattr(excinfo.value, _CAUSE, "") if excinfo else ""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash and cause:
        crash.message = cause


def cause_of(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return what pytest says of a failure in a line; empty where it says more."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(getattr(crash, "message", "")).partition("\n")[0]


def skip_reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return why a test, or a file, was skipped, in a line."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return reason.removeprefix("Skipped: ").partition("\n")[0]


def refuse(config: pytest.Config, error: HarnessError) -> None:
    """End a session before it runs a test; in a worker, where that would end in an internal error, fail every test.

    Raises:
        UsageError: this is no worker.
    """
    if not from_controller(config):
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(_Refusal(error))


class _Refusal:
    def __init__(self, error: HarnessError) -> None:
        self._error = error

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        raise failed(str(self._error), self._error.what)
