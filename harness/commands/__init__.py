"""The console script `harness`: what to do with baselines beside running pytest."""

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from typing import TextIO

from harness.commands import accept, bisect, compare, diff, doctor, explain, init, listing, report
from harness.errors import HarnessError
from harness.inert import inert


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's; return 0, 1 if something differs or 2 in trouble, like diff."""
    parser = argparse.ArgumentParser(
        prog="harness",
        description="Baselines of trainings.",
        epilog="Exit status: 0, 1 if something differs or fails, 2 in trouble. Each command has an example: "
        "harness diff --help",
    )
    distribution = "pytest-training-regression"
    parser.add_argument("--version", action="version", version=f"{distribution} {version(distribution)}")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for command in (init, listing, diff, compare, explain, bisect, report, accept, doctor):
        command.add(subparsers)
    given = parser.parse_args(arguments)
    with redirect_stdout(_Inert(sys.stdout)), redirect_stderr(_Inert(sys.stderr)):
        try:
            status: int = given.run(given)
        except HarnessError as error:
            print(error, file=sys.stderr)
            return 2
    return status


class _Inert(io.TextIOBase):
    """A stream on which every text that a command prints, whoever wrote it, only shows."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal can show every letter

    def write(self, text: str) -> int:
        """Write a text that is inert."""
        self._stream.write(inert(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, before another process writes."""
        self._stream.flush()
