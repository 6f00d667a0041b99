"""What is stored in a folder of baselines, each with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.baselines import png
from harness.baselines.files import read
from harness.baselines.origin import commit_date
from harness.baselines.store import SUFFIXES, check_figure, load_baseline
from harness.errors import BaselineError
from harness.record import Baseline


@dataclass(frozen=True)
class Stored:
    """A stored baseline.

    Args:
        path: its file.
        kind: record or figure.
        size: bytes, with the states that belong to it.
        made: when, as far as it or git says; empty if unknown.
        origin: as it says itself.
        baseline: what a record holds that can be read.
        problem: why it cannot be read, in words; empty if it can.
    """

    path: Path
    kind: Literal["record", "figure"]
    size: int
    made: str
    origin: Mapping[str, str] = field(default_factory=dict)
    baseline: Baseline | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.path.stem


def inventory(folder: Path) -> list[Stored]:
    """Return what is stored in a folder, sorted by name; what cannot be read is listed, too."""
    kept = [suffix for suffix in SUFFIXES if suffix != ".safetensors"]
    files = (path for path in folder.glob("*") if path.suffix in kept and not path.name.startswith("."))
    return [_record(path) if path.suffix == ".json" else _figure(path) for path in sorted(files)]


def _record(path: Path) -> Stored:
    size = _size(path) + sum(map(_size, _states(path)))
    try:
        baseline = load_baseline(path, "")
    except BaselineError as error:
        return Stored(path, "record", size, commit_date(path), problem=str(error).splitlines()[0])
    return Stored(path, "record", size, _made(path, baseline.origin), baseline.origin, baseline)


def _figure(path: Path) -> Stored:
    size = _size(path)
    try:
        check_figure(path, "")
        about = png.annotations(read(path))
    except (BaselineError, OSError) as error:
        return Stored(path, "figure", size, commit_date(path), problem=str(error).splitlines()[0])
    return Stored(path, "figure", size, _made(path, about), about)


def _size(path: Path) -> int:
    """Return a file's bytes; a link to nowhere has none."""
    return path.stat().st_size if path.is_file() else 0


def _made(path: Path, about: Mapping[str, str]) -> str:
    return about.get("made") or commit_date(path)


def _states(path: Path) -> list[Path]:
    return [file for file in path.parent.glob("*.safetensors") if file.name.rpartition("~")[0] == path.stem]
