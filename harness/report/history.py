"""Margins of past runs: a small file of JSON lines that CI can cache, so that a drift is seen before it fails."""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import msgspec
from msgspec.structs import replace

from harness.atomic_files import read, write
from harness.errors import OutputError
from harness.report.finding import LONGEST_HISTORY, Finding


_LEAST = 0.01
"""Share of the threshold below which a deviation is rounding noise, however it grew."""
_JUMP = 10.0
"""Times the median of the earlier runs; benign variants of float64 trainings part by that much, no further."""
_RISING = 5
"""Runs that rise one after another, and double: noise does so once in 5! = 120 times, and seldom doubles."""
_Key = tuple[str, str, str]


class _Line(msgspec.Struct, frozen=True):
    """A margin of a check that passed; what else a line holds does not count."""

    kind: str
    test: str
    name: str
    margin: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.margin):
            raise ValueError("a margin that is not finite")


def check_history(path: Path) -> None:
    """Check, before anything is trained, that a history can be read and written; OutputError if it cannot."""
    with _refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _text(path)
        path.touch()
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(13, "its folder is not writable")


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError.history(path=path, reason=error) from error


def remember(path: Path, findings: Iterable[Finding]) -> list[Finding]:
    """Add the margins of a session's checks that passed to a history: a failure is no drift.

    Return the findings with the margins of earlier runs, oldest first. OutputError if the history cannot be read or
    written; what stood there still stands.
    """
    runs: dict[_Key, list[float]] = {}
    with _refusing(path):
        for line in _read(path):
            runs.setdefault((line.kind, line.test, line.name), []).append(line.margin)
    known = [replace(finding, history=runs.get(_key(finding), [])[-LONGEST_HISTORY:]) for finding in findings]
    for finding in known:
        if finding.passed and finding.share is not None and math.isfinite(finding.share):
            runs.setdefault(_key(finding), []).append(finding.share)
    lines = (_Line(*key, margin) for key, margins in runs.items() for margin in margins[-LONGEST_HISTORY:])
    text = "".join(json.dumps(msgspec.structs.asdict(line)) + "\n" for line in lines)
    with _refusing(path):
        write(path, text.encode())
    return known


def shrinks(margins: Sequence[float]) -> bool:
    """Tell whether the last of a check's margins, oldest first, is on its way to the threshold."""
    *earlier, now = margins
    if not _LEAST <= now <= 1 or len(earlier) < 3:
        return False
    rising = margins[-_RISING:]
    climbs = len(rising) == _RISING and all(a < b for a, b in pairwise(rising))
    return now >= _JUMP * median(earlier) or (climbs and now >= 2 * rising[0])


def _key(finding: Finding) -> _Key:
    return "training" if finding.kind == "error" else finding.kind, finding.test, finding.name


def _read(path: Path) -> Iterator[_Line]:
    """Yield what a history holds; a line that was torn or edited is left out, a missing file is an empty one."""
    for line in _text(path).splitlines():
        with contextlib.suppress(ValueError, RecursionError):  # msgspec's errors are ValueErrors
            yield msgspec.convert(json.loads(line), _Line)


def _text(path: Path) -> str:
    """Return what stands in a history, nothing where there is none; OSError for what is none, such as a device."""
    return read(path).decode(errors="replace") if path.exists() else ""
