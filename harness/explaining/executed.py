"""The lines of the project that run, in the order in which they first do: what happens in plain Python, too."""

import functools
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from harness.explaining.lines import shown
from harness.explaining.never_run import module
from harness.explaining.operations import Tracer
from harness.explaining.traced import Ran
from harness.recording.imported import imported
from harness.recording.lines import owner
from harness.recording.project_files import repository


class Executed:
    """Lists the lines that run while it is on; where a debugger or a coverage tool watches them, none.

    Args:
        root: of the project.
        tracer: lists the operations that run beside them.
    """

    def __init__(self, root: Path, tracer: Tracer) -> None:
        self._root, self._tracer = repository(root), tracer
        self._known: set[tuple[str, int]] = set()
        self.lines: list[Ran] = []  # that ran since the last start

    def start(self) -> None:
        """List lines from now on, in a list of its own, with those that are at work now."""
        self._known, self.lines = set(), []
        if sys.gettrace() not in (None, self._called):
            return
        frame: FrameType | None = sys._getframe(1)
        around: list[FrameType] = []
        while frame:
            if _is_in(self._root, frame.f_code.co_filename):
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
        return self._line if _is_in(self._root, frame.f_code.co_filename) else None

    def _line(self, frame: FrameType, event: str, value: object) -> Any:
        if event == "line":
            self._note(frame)
        return self._line

    def _note(self, frame: FrameType) -> None:
        key = frame.f_code.co_filename, frame.f_lineno
        if key not in self._known:
            self._known.add(key)
            place = self._tracer.lines.place(frame)
            self.lines.append(Ran(place.file, place.line, len(self._tracer.operations)))


@functools.cache
def _is_in(root: Path, file: str) -> bool:
    """Tell whether a file is one of the repository's, and no library that lies in it."""
    return file[:1] != "<" and owner(file) == "project" and Path(file).is_relative_to(root)


def ran_at_import(root: Path, lines: Iterable[Ran]) -> Iterator[Ran]:
    """Yield the lines that ran when the project was imported: constants, and the heads of the functions that ran.

    Args:
        root: of the project.
        lines: that ran since.
    """
    ran = defaultdict[str, set[int]](set)
    for each in lines:
        ran[each.file].add(each.line)
    for file in filter(Path.is_file, imported(root)):
        name, code = shown(str(file), root), module(file.read_bytes())
        alive = code.heads | ran[name]
        spans = (range(each.first, each.last + 1) for each in code.statements if not alive.isdisjoint(each.proof))
        yield from (Ran(name, line, 0) for span in spans for line in span if line in code.heads)
