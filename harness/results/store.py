"""Results on disk: a file a check while a session runs, one file of all at its end."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from harness import files
from harness.results.parts import FORMAT, Result


__all__ = ["collect", "keep", "ordered", "to_text", "write"]


def keep(result: Result, folder: Path) -> None:
    """Leave a result for the session that collects; a check that runs again replaces its own."""
    key = json.dumps([_subject(result), result["test"], result["name"]])
    write(folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json", json.dumps(result))


def _subject(result: Result) -> str:
    """Return what a test may have one result of, under one name."""
    return result["kind"] if result["kind"] in ("figure", "power") else "training"


def collect(folder: Path) -> list[Result]:
    """Return what was kept, in order."""
    kept: list[Result] = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return ordered(kept)


def ordered(results: Iterable[Result]) -> list[Result]:
    """Return results as they are shown: failures first, trainings before figures, then by test."""
    return sorted(results, key=_order)


def _order(result: Result) -> tuple[bool, bool, str, str]:
    return result["passed"], result["kind"] == "figure", result["test"], result["name"]


def to_text(results: Iterable[Result]) -> str:
    """Return results as JSON, as `results.schema.json` describes it."""
    return json.dumps({"format": FORMAT, "results": list(results)}, indent=1) + "\n"


def write(path: Path, text: str) -> None:
    """Put a text in a file's place as a whole: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, text.encode("utf-8", "backslashreplace"))
