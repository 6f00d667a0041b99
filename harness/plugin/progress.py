"""Show a training while it runs, without touching pytest's own output: tqdm and rich would write into its line."""

import shutil
import sys
import time
from types import TracebackType
from typing import Self

import pytest


_REDRAW_SECONDS = 0.2
_PLAIN_SECONDS = 10.0
"""Seconds between lines where there is no terminal: a log wants few."""
_DOWN_AND_BACK = "\x1bD\x1bM\x1b7\x1b[1B\r\x1b[2K{text}\x1b8"
"""Index and reverse index make room for a line below without leaving the column; save the cursor, draw, restore it.
(ECMA-48 and DEC VT100 control sequences, which every terminal emulator follows.)"""


class Progress:
    """A live line below pytest's cursor on a terminal, a plain line now and then elsewhere, none on a quiet run."""

    def __init__(self, config: pytest.Config, title: str, steps: int) -> None:
        self._reporter: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._title, self._steps = title, steps
        self._live = bool(self._reporter and self._reporter.isatty)
        self._plain = bool(self._reporter) and not self._live and config.getoption("verbose") >= 0

    def __enter__(self) -> Self:
        self._started = self._drawn = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._write(_DOWN_AND_BACK.format(text=""))

    def __call__(self, step: int, loss: float) -> None:
        """Show a step; most calls return at once."""
        now = time.perf_counter()
        last = step + 1 == self._steps
        if now - self._drawn < (_REDRAW_SECONDS if self._live else _PLAIN_SECONDS) and not (last and self._plain):
            return
        self._drawn = now
        text = progress_line(self._title, step + 1, self._steps, loss, now - self._started)
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._write(_DOWN_AND_BACK.format(text=text[:width]))
        elif self._plain:
            self._write_line(text)

    def _write(self, text: str) -> None:
        """Write past pytest, which would count our characters as part of its line."""
        with self._capture.global_and_fixture_disabled():
            sys.stdout.write(text)
            sys.stdout.flush()

    def _write_line(self, text: str) -> None:
        if self._reporter:
            with self._capture.global_and_fixture_disabled():
                self._reporter.ensure_newline()  # pytest prints its prefix again after the line
                self._reporter.write_line(text)


def progress_line(name: str, step: int, steps: int, loss: float, seconds: float) -> str:
    """Return one line on a training under way: what, steps taken of all, loss of the last, seconds since its start."""
    return f"training {name}: step {step}/{steps}, loss {loss:.4f}, {seconds:.1f} s"
