"""The lines of the project that run, in the order in which they first do: what happens in plain Python, too."""

import sys
from types import FrameType
from typing import Any

from harness.explaining.lines import owner
from harness.explaining.operations import Tracer
from harness.explaining.traced import Ran


class Executed:
    """Lists the lines that run while it is on; where a debugger or a coverage tool watches them, none.

    Args:
        tracer: lists the operations that run beside them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._found: dict[tuple[str, int], Ran] = {}

    @property
    def lines(self) -> list[Ran]:
        """What ran since the last start."""
        return [*self._found.values()]

    def start(self) -> None:
        """List lines from now on, in a list of its own, with those that are at work now."""
        self._found = {}
        if sys.gettrace() is not None:
            return
        frame: FrameType | None = sys._getframe(1)
        around: list[FrameType] = []
        while frame:
            if _is_projects(frame):
                around.append(frame)
                frame.f_trace = self._line
            frame = frame.f_back
        for each in reversed(around):
            self._note(each)
        sys.settrace(self._called)

    def stop(self) -> None:
        """List no more."""
        if sys.gettrace() == self._called:
            sys.settrace(None)

    def _called(self, frame: FrameType, event: str, value: object) -> Any:
        return self._line if _is_projects(frame) else None

    def _line(self, frame: FrameType, event: str, value: object) -> Any:
        if event == "line":
            self._note(frame)
        return self._line

    def _note(self, frame: FrameType) -> None:
        key = frame.f_code.co_filename, frame.f_lineno
        if key not in self._found:
            place = self._tracer.lines.place(frame)
            self._found[key] = Ran(place.file, place.line, place.function, len(self._tracer.operations))


def _is_projects(frame: FrameType) -> bool:
    return frame.f_code.co_filename[:1] != "<" and owner(frame.f_code.co_filename) == "project"
