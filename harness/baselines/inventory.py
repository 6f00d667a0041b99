"""What is stored in a folder of baselines, each with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.atomic_files import read
from harness.baselines import png
from harness.baselines.origin import commit_date
from harness.baselines.store import check_figure, load_baseline
from harness.errors import BaselineError
from harness.record import Baseline


@dataclass(frozen=True)
class Stored:
    """A stored baseline."""

    path: Path
    kind: Literal["record", "figure"]
    size: int  # bytes, with the states that belong to it
    made: str  # when, as far as it or git says; empty if unknown
    origin: Mapping[str, str] = field(default_factory=dict)  # as it says itself
    baseline: Baseline | None = None  # what a record holds that can be read
    problem: str = ""  # why it cannot be read, in words

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.path.stem

    @property
    def file(self) -> str:
        """Its file name."""
        return self.path.name


def inventory(folder: Path) -> list[Stored]:
    """Return what is stored in a folder, sorted by name; what cannot be read is listed, too."""
    files = (path for path in folder.glob("*") if path.suffix in (".json", ".png") and not path.name.startswith("."))
    return [stored_at(path) for path in sorted(files)]


def stored_at(path: Path) -> Stored:
    """Return what a file holds, a record or a figure, by its suffix; what cannot be read has a `problem`."""
    kind: Literal["record", "figure"] = "record" if path.suffix == ".json" else "figure"
    states = path.parent.glob("*.safetensors") if kind == "record" else ()
    files = [path, *(file for file in states if file.name.rpartition("~")[0] == path.stem)]
    size = sum(file.stat().st_size for file in files if file.is_file())  # a link to nowhere has none
    try:
        baseline = load_baseline(path, "") if kind == "record" else None
        about = baseline.origin if baseline else _annotations(path)
    except (BaselineError, OSError) as error:
        return Stored(path, kind, size, commit_date(path), problem=str(error).splitlines()[0])
    return Stored(path, kind, size, about.get("made") or commit_date(path), about, baseline)


def _annotations(figure: Path) -> Mapping[str, str]:
    check_figure(figure, "")
    return png.annotations(read(figure))
