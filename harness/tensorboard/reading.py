"""Read the scalars that any tool wrote for TensorBoard: a training that leaves only event files, as a record.

As in TensorBoard, a folder with event files is a run, whose files belong together whatever they are called. A training
that went on in a later file takes the place of what earlier files hold from its first step on, tag by tag; a START
(torch's `purge_step`) does so for all tags. Within a file every value counts. With several runs a tag's name starts
with its run's folder, relative to the innermost folder that holds them all.

Event files keep float32. A value is the shortest decimal that gives this float32 back, and the record's precision is
unchanged: numbers from event files have thresholds of their own. Wall times are no part of the record.
"""

import contextlib
import importlib.metadata
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import EventsError
from harness.recipe import Precision, check_fields
from harness.record import Record, Stream, StreamKey, Streams
from harness.record.environment import describe
from harness.record.streams import TENSOR_KINDS
from harness.tensorboard.event_files import EventFile, read_event_file


MEASURED_TIMES = ("*runtime", "*_per_second", "*_time")
"""Patterns of scalars that are wall times (Hugging Face's and Keras' names): no two trainings agree in them."""

_Series = list[tuple[int, float]]


def read_events(
    folder: str | os.PathLike[str],
    *,
    precision: Precision = "float64",
    device: str = "cpu",
    ignore: Sequence[str] = MEASURED_TIMES,
) -> Record:
    """Return the scalars of all event files in a folder and below, every point of them, one stream a tag.

    A tag's stage is schedule if lr or learning rate is among the words of its name; backward with grad or gradient;
    evaluation with val, valid, validation, eval, evaluation or test; forward otherwise.

    Args:
        folder: as given to the tool that wrote the files; its writer must be closed.
        precision: in which the training computed: float64, float32 or bfloat16.
        device: on which it ran.
        ignore: patterns (as in file names) of streams to leave out.

    Raises:
        ArgumentError: there is no such precision.
        EventsError: there is no event file.
        EventsError: a file is damaged, or holds a step that no training has.
        EventsCutOffError: the last file of a run ends within an event.
        EventsError: there is no scalar that is not left out.
    """
    check_fields("read_events", precision=precision)
    files = {run: [read_event_file(path) for path in paths] for run, paths in _runs(Path(folder)).items()}
    series = _by_stream(files)
    names = [name for name in series if not any(fnmatchcase(name, pattern) for pattern in ignore)]
    # losses first: the first stream of the forward stage is what a training is shown by
    names.sort(key=lambda name: ("loss" not in name.lower(), name))
    if not names:
        raise EventsError.no_scalar(path=Path(folder))
    return Record(
        name="training",
        precision=precision,
        source="event files",
        seed=0,
        device=device,
        recipe={},
        data={},
        environment=describe(device) | _engines(),
        structure={},
        streams=Streams((name, _stream(name, series[name])) for name in names),
        pictures={},
        seconds=_seconds(file for run in files.values() for file in run),
    )


def _runs(folder: Path) -> dict[str, list[Path]]:
    """Return the event files of each run, by the run's name."""
    paths = [path for path in folder.rglob("*tfevents*") if path.is_file() and path.suffix != ".profile-empty"]
    if not paths:
        looked_for = "files with tfevents in their names, in it and below" if folder.is_dir() else "a folder"
        raise EventsError.missing(path=folder, looked_for=looked_for)
    homes = sorted({path.parent for path in paths})
    top = Path(os.path.commonpath(homes))
    names = dict(_timeless(home.relative_to(top) for home in homes))
    runs: dict[str, list[Path]] = {}
    for path in sorted(paths):
        runs.setdefault(names[path.parent.relative_to(top)], []).append(path)
    return runs


def _timeless(places: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each run's name: its place, with a number for a Unix time."""
    seen: Counter[Path] = Counter()
    for place in places:
        if re.fullmatch(r"\d{9,}\.\d+", place.name):  # torch's `add_hparams` calls a folder of final metrics so
            yield place, (place.parent / f"hparams[{seen[place.parent]}]").as_posix()
            seen[place.parent] += 1
        else:
            yield place, "" if place == Path() else place.as_posix()


def _by_stream(runs: dict[str, list[EventFile]]) -> dict[str, _Series]:
    found: dict[str, _Series] = {}
    for run, files in runs.items():
        for tag, series in _merged(files).items():
            name = f"{run}/{tag}" if run else tag
            key = StreamKey(name)
            # the comparison knows more of streams with our names than that they are numbers
            name = f"events/{name}" if key.kind in TENSOR_KINDS or key.distance else name
            found.setdefault(name, []).extend(series)
    return found


def _merged(files: Sequence[EventFile]) -> dict[str, _Series]:
    """Return each tag's points in a run, without those that a later file takes the place of."""
    ordered = sorted(files, key=lambda file: (file.began, _natural(file.path.name)))
    if damage := ordered[-1].damage:  # earlier files may end within an event: their training was killed, and went on
        raise damage
    merged: dict[str, _Series] = {}
    for file in ordered:
        own: dict[str, _Series] = {}
        for tag, step, value in file.points:
            if tag is None:
                merged, own = _before(merged, step), _before(own, step)
            else:
                own.setdefault(tag, []).append((step, value))
        for tag, series in own.items():
            merged[tag] = _until(merged.get(tag, []), min(series)[0]) + series
    return merged


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names as numbers."""
    return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _before(points: dict[str, _Series], step: int) -> dict[str, _Series]:
    return {tag: kept for tag, series in points.items() if (kept := _until(series, step))}


def _until(series: _Series, step: int) -> _Series:
    return [point for point in series if point[0] < step]


def _stream(name: str, series: _Series) -> Stream:
    ordered = sorted(series, key=lambda point: point[0])
    return Stream(_stage(name), tuple(step for step, _ in ordered), tuple(value for _, value in ordered))


def _stage(name: str) -> str:
    """Return the stage that the words of a name tell; the first that fits counts."""
    stages = {
        "schedule": r"lr|learning rate",
        "backward": r"grad|gradients?",
        "evaluation": r"val|valid|validation|eval|evaluation|test",
    }
    words = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)).lower()
    return next((stage for stage, told in stages.items() if re.search(rf"\b({told})\b", words)), "forward")


def _engines() -> dict[str, str]:
    """Return the versions of what computes, beside torch, where it is installed."""
    versions = {}
    for name in ("jax", "keras", "tensorflow"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _seconds(files: Iterable[EventFile]) -> float:
    """Return the time from the first event to the last."""
    times = [(file.began, file.ended) for file in files if file.began < math.inf]
    return max(ended for _, ended in times) - min(began for began, _ in times)
