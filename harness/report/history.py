"""Margins of past runs: a small file of JSON lines that CI can cache, so that a drift is seen before it fails."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from msgspec.structs import replace

from harness.baselines.files import write
from harness.errors import OutputError
from harness.report.finding import Finding, plain


_RUNS = 50
"""Runs that are kept of each check."""

_LARGEST_FILE = 64 * 2**20
"""Bytes; 50 runs of 1,000 checks are 10 MB."""

_LEAST = 0.01
"""Share of the threshold below which a deviation is rounding noise, however it grew."""

_JUMP = 10.0
"""Times the median of the earlier runs; benign variants of float64 trainings part by that much, no further."""

_RISING = 5
"""Runs that rise one after another, and double: noise does so once in 5! = 120 times, and seldom doubles."""

_Key = tuple[str, str, str]


def check_history(path: Path) -> None:
    """Check, before anything is trained, that a history can be read and written.

    Raises:
        OutputError: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            if file.tell() > _LARGEST_FILE:
                raise OutputError.history(path=path, reason="it is larger than 64 MB, which no history is")
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(13, "its folder is not writable")
    except OSError as error:
        raise OutputError.history(path=path, reason=error) from error


def remember(path: Path, findings: Iterable[Finding]) -> list[Finding]:
    """Add a session's margins to a history; a line that is none is dropped.

    Only checks that passed are added: a failure is no drift.

    Returns:
        The findings with the margins of earlier runs, oldest first.

    Raises:
        OutputError: the history cannot be read or written; what stood there still stands.
    """
    runs: dict[_Key, list[float]] = {}
    try:
        for key, margin in _read(path):
            runs.setdefault(key, []).append(margin)
    except OSError as error:
        raise OutputError.history(path=path, reason=error) from error
    known = [replace(finding, history=[plain(m) for m in runs.get(_key(finding), ())]) for finding in findings]
    for finding in known:
        now = finding.share
        if finding.passed and now is not None and math.isfinite(now):
            runs.setdefault(_key(finding), []).append(now)
    text = "".join(_line(key, margin) for key, margins in runs.items() for margin in margins[-_RUNS:])
    try:
        write(path, text.encode())
    except OSError as error:
        raise OutputError.history(path=path, reason=error) from error
    return known


def shrinks(margins: Sequence[float]) -> bool:
    """Tell whether the last of a check's margins is on its way to the threshold.

    Args:
        margins: shares of the threshold, oldest first, the present run last.
    """
    *earlier, now = margins
    if not _LEAST <= now <= 1 or len(earlier) < 3:
        return False
    rising = margins[-_RISING:]
    climbs = len(rising) == _RISING and all(a < b for a, b in pairwise(rising))
    return now >= _JUMP * median(earlier) or (climbs and now >= 2 * rising[0])


def _key(finding: Finding) -> _Key:
    return "training" if finding.kind == "error" else finding.kind, finding.test, finding.name


def _line(key: _Key, margin: float) -> str:
    kind, test, name = key
    return json.dumps({"kind": kind, "test": test, "name": name, "margin": margin}) + "\n"


def _read(path: Path) -> Iterable[tuple[_Key, float]]:
    """Yield what a history holds; a line that was torn or edited is left out, a missing file is an empty one."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry: dict[str, Any] = json.loads(line)
            margin, key = float(entry["margin"]), (entry["kind"], entry["test"], entry["name"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        if math.isfinite(margin) and set(map(type, key)) == {str}:
            yield key, margin
