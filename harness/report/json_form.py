"""Findings as JSON: a file a check while a session runs, one file of all at its end, read back from anywhere."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from harness import atomic_files
from harness.baselines.failed import is_ours
from harness.errors import ReportError
from harness.report.finding import Finding
from harness.report.ledger import EMPTY, Ledger
from harness.report.run import UNKNOWN, Run


_LARGEST_FILE = 256 * 2**20
"""Bytes; 1,000 trainings with all their curves are 100 MB."""
_MOST_VALUES = 2**24
"""Of a file, by its commas: a number takes sixteen times the room of its text; 1,000 trainings have 2/3 of it."""
_MOST_FINDINGS = 50_000
"""Of a page that somebody may still want to open."""


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `results.json` holds: what a session found, its ledger, and what ran, in a form of this version."""

    format: Literal[5]
    results: Annotated[list[Finding], msgspec.Meta(max_length=_MOST_FINDINGS)]
    ledger: Ledger
    run: Run


def schema() -> dict[str, Any]:
    """Return the JSON schema of `results.json`."""
    return msgspec.json.schema(Results)


def to_text(findings: Iterable[Finding], ledger: Ledger = EMPTY, run: Run = UNKNOWN) -> str:
    """Return findings, ledger and run as JSON."""
    return json.dumps(msgspec.to_builtins(Results(5, list(findings), ledger, run)), indent=1) + "\n"


def left(folder: Path) -> Results | None:
    """Return what the last session left in its folder; None if that is nothing, or cannot be read."""
    try:
        return read(folder / "results.json")
    except ReportError:
        return None


def read(file: Path) -> Results:
    """Return what a results.json holds, which may be from anywhere; ReportError for what no session writes."""
    try:
        data = atomic_files.read(file, _LARGEST_FILE)
        if data.count(b",") > _MOST_VALUES:
            raise ValueError(f"it holds more than {_MOST_VALUES} values")
        found = msgspec.json.decode(data, type=Results)
    except FileNotFoundError as error:
        raise ReportError.missing(path=file) from error
    except (OSError, ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise ReportError.corrupt(path=file, reason=error) from error
    if not (found.results or found.ledger.entries):
        raise ReportError.corrupt(path=file, reason="it holds no result")
    return replace(
        found, results=[each if is_ours(each.accept) else replace(each, accept="") for each in found.results]
    )


def keep(finding: Finding, folder: Path) -> None:
    """Leave a finding for the session that collects; a check that runs again replaces its own."""
    atomic_files.write(_place(finding, folder), json.dumps(msgspec.to_builtins(finding)).encode())


def former(finding: Finding, folder: Path) -> Finding | None:
    """Return what the same check left before, when its test was tried for the first time; None if it did not."""
    place = _place(finding, folder)
    return msgspec.json.decode(place.read_bytes(), type=Finding) if place.exists() else None


def _place(finding: Finding, folder: Path) -> Path:
    check = [finding.kind == "power", finding.test, finding.baseline]
    return folder / f"{hashlib.sha256(json.dumps(check).encode()).hexdigest()}.json"


def collect(folder: Path) -> list[Finding]:
    """Return what was kept, in order."""
    return ordered(msgspec.json.decode(path.read_bytes(), type=Finding) for path in folder.glob("*.json"))


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings as they are shown: failures first, then what is not judged, trainings before figures, by test."""
    return sorted(
        findings,
        key=lambda found: (found.passed, found.is_judged, found.kind == "figure", found.test, found.name),
    )
