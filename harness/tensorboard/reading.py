"""Read the scalars that any tool wrote for TensorBoard: a training that leaves only event files, as a record.

As in TensorBoard, a folder with event files is a run, whose files belong together whatever they are called. A training
that went on in a later file, begun after the earlier ones had ended, takes the place of what those hold from its first
step on, tag by tag; a START (torch's `purge_step`) does so for all tags. Two writers at the same time may log different
tags into one folder: which one's values of a common tag come first, no file tells. Within a file every value counts.
With several runs a tag's name starts with its run's folder, relative to the innermost folder that holds them all; what
a tag means, its own name tells alone.

Event files keep float32. A value is the shortest decimal that gives this float32 back, and the record's precision is
unchanged: numbers from event files have thresholds of their own. Wall times are no part of the record.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

from harness.errors import EventsError
from harness.recipe import Precision, check_fields
from harness.record import Record, Stream, StreamKey, Streams
from harness.record.environment import describe, versions
from harness.tensorboard.event_files import EventFile, Series, read_event_file, until


MEASURED_TIMES = ("*runtime", "*_per_second", "*_time")
"""Patterns of scalars that are wall times (Hugging Face's and Keras' names): no two trainings agree in them."""
_ENGINES = ("jax", "keras", "tensorflow")
"""What computes beside torch."""


@dataclass(frozen=True)
class _Curve:
    """What the files hold of a tag in a run."""

    tag: str
    series: Series
    replaced: int  # values that later files take the place of


def read_events(
    folder: str | os.PathLike[str],
    *,
    precision: Precision = "float64",
    device: str = "cpu",
    ignore: Sequence[str] = MEASURED_TIMES,
    since: float | None = None,
) -> Record:
    """Return the scalars of all event files in a folder and below, every point of them, one stream a tag.

    A tag's stage is schedule if lr or learning rate is among the words of its own name; backward with grad or gradient;
    evaluation with val, valid, validation, eval, evaluation or test; forward otherwise.

    Args:
        folder: as given to the tool that wrote the files; its writer must be closed.
        precision: in which the training computed: float64, float32 or bfloat16.
        device: on which it ran.
        ignore: patterns (as in file names) of streams to leave out; the record names those that are.
        since: Unix time, in seconds; a file that is older was left by another run, and is refused.

    Raises:
        ArgumentError: there is no such precision.
        EventsError: there is no event file, or no scalar that is not left out.
        EventsError: a file is damaged or older than `since`, or holds a step that no training has.
        EventsError: two writers logged a tag into one folder at the same time.
        EventsCutOffError: a file ends within an event, and no later one of its run takes its place.
    """
    check_fields("read_events", precision=precision)
    runs = _files(Path(folder), since)
    curves = _by_stream(runs)
    record = Record(
        name="training",
        precision=precision,
        source="event files",
        seed=0,
        device=device,
        recipe={},
        data={},
        environment=describe(device) | versions(*_ENGINES),
        structure={},
        streams=_streams(curves),
        pictures={},
        seconds=_seconds(file for files in runs.values() for file in files),
        replaced={name: curve.replaced for name, curve in curves.items() if curve.replaced},
    ).without(ignore)
    if not record.streams:
        raise EventsError.no_scalar(path=Path(folder))
    return record


def _files(folder: Path, since: float | None) -> dict[str, list[EventFile]]:
    """Read the event files of each run, by the run's name; refuse those that are older than a time."""
    runs = {run: [read_event_file(path) for path in paths] for run, paths in _runs(folder).items()}
    for file in chain.from_iterable(runs.values()):
        # both: a copy is changed late, and a clock that is ahead, or stands still in a test, stamps events late
        written = min(file.began, file.modified)
        if since is not None and written < since:
            raise EventsError.stale(path=file.path, written=written, since=since)
    return runs


def _runs(folder: Path) -> dict[str, list[Path]]:
    """Return the event files of each run, by the run's name."""
    places = (place / name for place, names in _folders(folder) for name in names if "tfevents" in name)
    paths = [path for path in places if path.is_file() and path.suffix != ".profile-empty"]
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


def _folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all below it, with the names of their files; like TensorBoard, those that are linked, too."""
    known = [folder.resolve()]
    for place, below, names in os.walk(folder, followlinks=True):
        yield Path(place), names
        below[:] = [name for name in sorted(below) if _is_new(Path(place, name), known)]


def _is_new(place: Path, known: list[Path]) -> bool:
    """Tell whether a folder is to be read: a link into what is known is not, nor one that leads up from the first."""
    if not place.is_symlink():
        return True
    real = place.resolve()
    if known[0].is_relative_to(real) or any(real.is_relative_to(one) for one in known):
        return False
    known.append(real)
    return True


def _timeless(places: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each run's name: its place, with a number for a Unix time."""
    seen: Counter[Path] = Counter()
    for place in places:
        if re.fullmatch(r"\d{9,}\.\d+", place.name):  # torch's `add_hparams` calls a folder of final metrics so
            yield place, (place.parent / f"hparams[{seen[place.parent]}]").as_posix()
            seen[place.parent] += 1
        else:
            yield place, "" if place == Path() else place.as_posix()


def _by_stream(runs: Mapping[str, Sequence[EventFile]]) -> dict[str, _Curve]:
    """Return what all runs hold by the stream's name, losses first: a training is shown by its first stream."""
    found: dict[str, _Curve] = {}
    for run, files in runs.items():
        for curve in _merged(files):
            name = f"{run}/{curve.tag}" if run else curve.tag
            key = StreamKey(name)
            # whatever our own names mean, a tool's tag or folder of that name does not
            name = f"events/{name}" if key.kind != "logged" or key.distance else name
            former = found.get(name, _Curve(curve.tag, [], 0))  # of a/b and c, where this is of a and b/c
            found[name] = _Curve(former.tag, former.series + curve.series, former.replaced + curve.replaced)
    return dict(sorted(found.items(), key=lambda item: ("loss" not in item[1].tag.lower(), item[0])))


def _merged(files: Sequence[EventFile]) -> Iterator[_Curve]:
    """Yield each tag's points in a run, without those that a later file takes the place of."""
    ordered = sorted(files, key=lambda file: (file.began, _natural(file.path.name)))
    for first, second in combinations(ordered, 2):
        if not second.follows(first) and (shared := first.series.keys() & second.series.keys()):
            raise EventsError.two_writers(tag=min(shared), first=first.path, second=second.path)
    kept: dict[str, Series] = {}
    replaced: Counter[str] = Counter()
    for file in ordered:
        later = [other for other in ordered if other.follows(file)]
        ends = {tag: min((other.takes_over(tag) for other in later), default=math.inf) for tag in file.series}
        went_on = any(end < math.inf for end in ends.values())  # after it had been killed
        if file.damage and not went_on:
            raise file.damage
        for tag, series in file.series.items():
            points = until(series, ends[tag])
            kept.setdefault(tag, []).extend(points)
            replaced[tag] += len(series) - len(points)
    yield from (_Curve(tag, series, replaced[tag]) for tag, series in kept.items())


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names as numbers."""
    return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _streams(curves: Mapping[str, _Curve]) -> Streams:
    return Streams((name, _stream(curve)) for name, curve in curves.items() if curve.series)


def _stream(curve: _Curve) -> Stream:
    ordered = sorted(curve.series, key=lambda point: point[0])
    return Stream(_stage(curve.tag), tuple(step for step, _ in ordered), tuple(value for _, value in ordered))


def _stage(tag: str) -> str:
    """Return the stage that the words of a tag tell; the first that fits counts."""
    stages = {
        "schedule": r"lr|learning rate",
        "backward": r"grad|gradients?",
        "evaluation": r"val|valid|validation|eval|evaluation|test",
    }
    words = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+", tag)).lower()
    return next((stage for stage, told in stages.items() if re.search(rf"\b({told})\b", words)), "forward")


def _seconds(files: Iterable[EventFile]) -> float:
    """Return the time from the first event to the last."""
    times = [(file.began, file.ended) for file in files if file.began < math.inf]
    return max((ended for _, ended in times), default=0.0) - min((began for began, _ in times), default=0.0)
