"""Whether a record is whole: a recorder that fails leaves the loop in peace, and remembers what is missing."""

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from harness.errors import HarnessError, RecorderError


_HOUSE = Path(__file__).parents[1]

P = ParamSpec("P")
T = TypeVar("T")


class Wholeness:
    """Keeps the first error that is raised in its blocks: what was to be recorded there is missing.

    All that a loop calls of the recorder, and all that is called by its hooks, runs in such a block. A mistake of the
    loop is raised. Whatever else goes wrong is no concern of the loop: it goes on, and nothing is raised any more.

    Args:
        step: tells the present step.

    Attributes:
        broken: the first error, if any.
    """

    def __init__(self, step: Callable[[], int]) -> None:
        self.broken: HarnessError | None = None
        self._step = step
        self._failed = False  # whether something failed that is no mistake of the loop

    def keep(self, error: Exception, doing: str) -> bool:
        """Keep an error, and tell whether the loop goes on.

        Args:
            error: what was raised.
            doing: by whose part, in words.
        """
        if not isinstance(error, HarnessError):
            self._failed, cause = True, error
            error = RecorderError.incomplete(doing=doing, error=cause, step=self._step(), place=_place(cause))
            error.__cause__ = cause
        self.broken = self.broken or error
        return self._failed

    def guarded(self, doing: str, notify: Callable[P, None]) -> Callable[P, None]:
        """Return a call that is such a block."""

        @functools.wraps(notify)
        def notified(*args: P.args, **kwargs: P.kwargs) -> None:
            try:  # a context costs more than most calls
                notify(*args, **kwargs)
            except Exception as error:
                if not self.keep(error, doing):
                    raise

        return notified


class Block(Generic[T]):
    """A context that keeps errors, and gives something; a step enters several, and a generator would take longer.

    Args:
        wholeness: of what.
        doing: whose part it is, in words.
        given: what it gives.
    """

    def __init__(self, wholeness: Wholeness, doing: str, given: T) -> None:
        self._wholeness, self._doing, self._given = wholeness, doing, given

    def __enter__(self) -> T:
        return self._given

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> bool:
        return isinstance(error, Exception) and self._wholeness.keep(error, self._doing)


def _place(error: BaseException) -> str:
    """Return file and line of ours that an error comes from; the guard is in between wherever torch is called."""
    frames = ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
    calls = ((Path(code.co_filename), line) for code, line in frames if code.co_name != "__torch_function__")
    *_, (file, line) = ((file, line) for file, line in calls if file.is_relative_to(_HOUSE))
    return f"{file.relative_to(_HOUSE.parent).as_posix()}:{line}"
