"""Refuse a session before it runs a test, in a worker of pytest-xdist too."""

import pytest

from harness.errors import HarnessError


__all__ = ["refuse"]


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
        pytest.fail(str(self._error), pytrace=False)
