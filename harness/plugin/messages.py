"""Our errors as messages of a failed test or a refused session, without a traceback through the harness."""

from types import TracebackType

import pytest

from harness.errors import HarnessError
from harness.inert import inert


class messages:
    """Context manager: a HarnessError inside fails the test with its text alone."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HarnessError):
            raise failed(str(error)) from None


def failed(text: str) -> BaseException:
    """Return what fails a test with a text alone: one that a baseline had a word in does nothing to a terminal."""
    return pytest.fail.Exception(inert(text), pytrace=False)


def refuse(config: pytest.Config, error: HarnessError) -> None:
    """End a session before it runs a test; in a worker, where that would end in an internal error, fail every test.

    Raises:
        UsageError: this is no worker.
    """
    if not hasattr(config, "workerinput"):
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(_Refusal(error))


class _Refusal:
    def __init__(self, error: HarnessError) -> None:
        self._error = error

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        raise failed(str(self._error))
