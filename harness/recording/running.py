"""Which lines of the project run, here and in processes that are forked from here: each is noted once, in a file."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from harness.recording.imported import imported
from harness.recording.project_files import is_of, name_of


TAKEN = "another tracer is active"
_COMPILED = "torch.compile traced it"
_NONE = frozenset[int]()
_open: "list[Running]" = []


class Running:
    """Notes lines when they run, from when it is made until it is closed.

    Args:
        root: of the project.
        log: file of what is noted, which other processes may note in, too.
        wanted: path from the root to the lines that are looked for.
        heads: likewise, to those of them that may run when the file is imported.
    """

    def __init__(
        self, root: Path, log: Path, wanted: Mapping[str, Collection[int]], heads: Mapping[str, Collection[int]]
    ) -> None:
        self._root, self._log, self._heads = root, log, heads
        self._left = {name: {*lines} for name, lines in wanted.items()}
        self._names: dict[str, str] = {}
        self._wanted: dict[int, tuple[CodeType, frozenset[int]]] = {}  # by id: its hash takes longer than a call
        log.touch(mode=0o600)
        self._note_imported()
        self._watch = _Watch(self._lines, self._ran) if is_free() else None
        self._counts = False
        self._compiled = _compiled()
        _open.append(self)
        if self._watch:
            self._count(True)
        else:
            self.note("", TAKEN)

    @contextlib.contextmanager
    def counting(self, wanted: bool) -> Iterator[None]:
        """Note what runs in a block, or do not."""
        before = self._counts
        self._count(wanted)
        try:
            yield
        finally:
            self._count(before)

    def _count(self, wanted: bool) -> None:
        if self._watch and wanted != self._counts:
            if not (self._watch.on() if wanted else self._watch.off()):
                self.note("", TAKEN)
            self._counts = wanted

    def close(self) -> None:
        """Note no more."""
        self._count(False)
        if self._watch:
            self._watch.close()
        self._note_imported()
        for name in self._left if _compiled() > self._compiled else ():
            self.note(name, _COMPILED)
        if self in _open:
            _open.remove(self)

    def note(self, name: str, what: object) -> None:
        """Note something of a file: a line that ran, or a doubt; of none, why nothing is known."""
        note(self._log, name, what)

    def take(self, code: CodeType) -> None:
        """Look for the lines of some code no more."""
        for line in self._lines(code):
            self._ran(code, line)

    def _note_imported(self) -> None:
        """Note what runs at import of files whose import was not seen: before this began, or where nothing counted."""
        for file in imported(self._root):
            name = name_of(self._root, file)
            heads = self._heads.get(name, ())
            if self._left.get(name, {0}).issuperset(heads):
                for line in heads:
                    self.note(name, line)

    def _lines(self, code: CodeType) -> Set[int]:
        """Return the lines of some code that are still looked for."""
        name = self._names.get(code.co_filename)
        if name is None:
            self._names[code.co_filename] = name = self._name(code.co_filename)
        if not name:
            return _NONE
        if (known := self._wanted.get(id(code))) is None:
            lines = self._left[name].intersection(line for *_, line in code.co_lines())
            self._wanted[id(code)] = known = code, frozenset(lines)
        return known[1] & self._left[name]

    def _name(self, file: str) -> str:
        """Return the path from the root of a file whose lines are looked for; empty for any other."""
        with contextlib.suppress(OSError, ValueError):  # no folder to count from, or no name of a file
            for path in (Path(os.path.abspath(file)), Path(os.path.realpath(file))):  # noqa: PTH100 # a link, or not
                if is_of(self._root, path) and (name := name_of(self._root, path)) in self._left:
                    return name
        return ""

    def _ran(self, code: CodeType, line: int) -> None:
        left = self._left[self._names[code.co_filename]]
        if line in left:
            left.discard(line)
            self.note(self._names[code.co_filename], line)


def _compiled() -> int:
    """Return how many functions torch.compile has traced in this process."""
    counters = getattr(sys.modules.get("torch._dynamo.utils"), "counters", {})
    return sum(counters.get("frames", {}).values())


def note(log: Path, name: str, what: object) -> None:
    """Note something of a file in a log, as `Running.note`."""
    with contextlib.suppress(OSError):  # a training is worth more than what is known of it
        target = os.open(log, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(target, f"{what}\t{name}\n".encode("utf-8", "surrogateescape"))  # at once: others write, too
        finally:
            os.close(target)


def is_watched() -> bool:
    """Tell whether lines are noted in this process already, as in one that is forked from one that does."""
    return bool(_open)


def noted(log: Path) -> dict[str, set[str]]:
    """Return what was noted of each file."""
    found: dict[str, set[str]] = {}
    for entry in log.read_bytes().decode("utf-8", "surrogateescape").split("\n")[:-1]:
        what, _, name = entry.partition("\t")
        found.setdefault(name, set()).add(what)
    return found


if sys.version_info >= (3, 12):
    _TOOLS = (4, 3)  # Hypothesis takes 3; the others are those of debuggers, coverage, profilers and optimizers

    def is_free() -> bool:
        """Tell whether nobody else watches what runs here."""
        return any(sys.monitoring.get_tool(tool) is None for tool in _TOOLS)

    class _Watch:
        """Has lines of some code told once.

        Args:
            lines: returns those of some code that are looked for.
            ran: told of each that runs.
        """

        def __init__(self, lines: Callable[[CodeType], Collection[int]], ran: Callable[[CodeType, int], None]) -> None:
            events = sys.monitoring.events
            self._lines, self._ran = lines, ran
            self._tool = next(tool for tool in _TOOLS if not sys.monitoring.get_tool(tool))
            self._codes: list[CodeType] = []
            self._wanted = events.NO_EVENTS
            sys.monitoring.use_tool_id(self._tool, "pytest-training-regression")
            sys.monitoring.register_callback(self._tool, events.PY_START, self._start)
            sys.monitoring.register_callback(self._tool, events.LINE, self._line)
            sys.monitoring.set_events(self._tool, events.PY_START)

        def _start(self, code: CodeType, _: int) -> object:
            if self._lines(code):
                self._codes.append(code)
                sys.monitoring.set_local_events(self._tool, code, self._wanted)
            return sys.monitoring.DISABLE

        def _line(self, code: CodeType, line: int) -> object:
            self._ran(code, line)
            return sys.monitoring.DISABLE

        def _set(self, events: int) -> bool:
            self._wanted = events
            for code in self._codes:
                sys.monitoring.set_local_events(self._tool, code, events)
            return True

        def on(self) -> bool:
            """Begin, or go on; tell whether nobody is in the way."""
            return self._set(sys.monitoring.events.LINE)

        def off(self) -> bool:
            """Stop for now; tell whether nobody was in the way."""
            return self._set(sys.monitoring.events.NO_EVENTS)

        def close(self) -> None:
            """Stop for good."""
            events = sys.monitoring.events
            sys.monitoring.set_events(self._tool, events.NO_EVENTS)
            for event in (events.PY_START, events.LINE):
                sys.monitoring.register_callback(self._tool, event, None)
            sys.monitoring.free_tool_id(self._tool)

else:

    def is_free() -> bool:
        """Tell whether nobody else watches what runs here."""
        return sys.gettrace() is None

    class _Watch:
        """Has lines of some code told.

        Args:
            lines: returns those of some code that are looked for.
            ran: told of each that runs.
        """

        def __init__(self, lines: Callable[[CodeType], Collection[int]], ran: Callable[[CodeType, int], None]) -> None:
            self._lines, self._ran = lines, ran
            self._trace = self._call

        def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
            return self._line if self._lines(frame.f_code) else None

        def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                self._ran(frame.f_code, frame.f_lineno)
            return self._line

        def on(self) -> bool:
            """Begin, or go on; tell whether nobody is in the way: a debugger, say."""
            return self._set(None, self._trace)

        def off(self) -> bool:
            """Stop for now; tell whether nobody was in the way."""
            return self._set(self._trace, None)

        def _set(self, former: Any, trace: Any) -> bool:
            if sys.gettrace() is not former:
                return False
            sys.settrace(trace)
            threading.settrace(trace)
            return True

        def close(self) -> None:
            """There is nothing else to undo."""
