"""Run the cases one after another and count."""

import contextlib
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from tests.corruption.kinds import KINDS
from tests.corruption.reading import outcome


DRAWN = 23
"""Of so many cases, the figures of one are drawn; a prime, so that every kind has its turn."""


@dataclass
class Found:
    """What came of the cases."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    seconds: float = 0.0
    before_MB: float = 0.0
    peak_MB: float = 0.0


class Guard:
    """Notes what this process writes outside a folder, by Python's audit events."""

    def __init__(self) -> None:
        self.folder = ""
        self.found: list[str] = []
        sys.addaudithook(self._hear)  # for the life of the process: there is no way to remove one

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder:
            return
        opened = event == "open" and isinstance(arguments[0], str | bytes)
        changed = event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate")
        if changed or (opened and _writes(arguments[1], arguments[2])):
            self._check(arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self._check(arguments[1], follows=False)

    def _check(self, place: Any, *, follows: bool = True) -> None:
        """Note a place outside the folder; what is put in a link's place does not follow the link."""
        with contextlib.suppress(ValueError, TypeError):
            given = Path.cwd() / os.fsdecode(place)
            path = os.path.realpath(given if follows else given.parent)
            if not path.startswith((self.folder, "/dev/")):
                self.found.append(path)


def _writes(mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or bool(set(mode or "") & set("wax+"))


GUARD = Guard()


def run(count: int, first: int = 0) -> Found:
    """Run cases.

    Args:
        count: how many.
        first: number of the first: the same number is the same case.
    """
    warnings.simplefilter("error")  # as in a project that is strict with itself
    found, began = Found(before_MB=_peak_MB()), time.perf_counter()
    kinds = list(KINDS)
    for number in range(first, first + count):
        kind = kinds[number % len(kinds)]
        # bytecode of what a case is the first to import is Python's matter
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(sys, "dont_write_bytecode", True):
            found.counts[kind, _case(kind, number, Path(folder).resolve(), found)] += 1
    found.seconds, found.peak_MB = time.perf_counter() - began, _peak_MB()
    return found


def _case(kind: str, number: int, folder: Path, found: Found) -> str:
    project = folder / "project"
    project.mkdir()
    KINDS[kind](project, random.Random(number))
    GUARD.folder, GUARD.found = str(project), []
    try:
        with contextlib.chdir(project):
            result = outcome(project, labelled=number % DRAWN == 0)
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {str(error)[:200]} ({trace.filename}:{trace.lineno})"
        found.others.append(f"case {number}, {kind}: {said}")
        return "OTHER"
    finally:
        GUARD.folder = ""
        beside = [path.name for path in folder.iterdir() if path != project]
        found.outside += [f"case {number}, {kind}: {path}" for path in (*GUARD.found, *beside)]
    return result


def _peak_MB() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # Linux counts in KiB


def table(found: Found) -> str:
    """Return what came of the cases as Markdown."""
    ends = sorted({end for _, end in found.counts})
    lines = ["| kind | " + " | ".join(ends) + " |", "|---" * (len(ends) + 1) + "|"]
    for kind in KINDS:
        lines.append(f"| {kind} | " + " | ".join(str(found.counts[kind, end] or "") for end in ends) + " |")
    summary = (
        f"{found.counts.total()} cases, {len(found.others)} ended otherwise than in a HarnessError or well, "
        f"{len(found.outside)} files outside the project, {found.seconds:.0f} s, "
        f"memory at most {found.peak_MB:.0f} MB ({found.before_MB:.0f} MB before the first case)"
    )
    return "\n".join([*lines, "", summary, *found.others, *found.outside])
