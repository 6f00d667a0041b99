"""Our errors as messages of a failed test, without a traceback through the harness."""

from types import TracebackType

import pytest

from harness.errors import HarnessError


__all__ = ["messages"]


class messages:
    """Context manager: a HarnessError inside fails the test with its text alone."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HarnessError):
            raise pytest.fail.Exception(str(error), pytrace=False) from None
