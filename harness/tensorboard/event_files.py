"""One event file: the scalars in it, and whether it is whole."""

import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import EventsCutOffError, EventsError
from harness.record.streams import FIRST_STEP, LONGEST_RUN


# a record is the length of its content, a checksum of that length, the content, and its checksum (the TFRecord format)
_HEAD, _FOOT = struct.Struct("<QI"), struct.Struct("<I")

_LARGE = 2**16  # bytes of an event that is an image or the like, and is not verified: a checksum runs at 10 MB/s


Series = list[tuple[int, float]]
"""(step, value) pairs of one tag."""


class _Point(NamedTuple):
    """One value of a tag at a step; without a tag, a START, which voids all earlier values at its step and later."""

    tag: str | None
    step: int
    value: float


@dataclass(frozen=True)
class EventFile:
    """What an event file holds."""

    path: Path
    series: Mapping[str, Series]  # by tag, in the order of the file, without what a START in it voids
    void_from: float  # step from which on a START in it voids what older files hold; infinite without one
    began: float  # Unix time of its first event; infinite if it has none
    ended: float  # of its latest
    modified: float  # of its last change, as the file system has it
    damage: EventsCutOffError | None  # it ends within an event, as that of a training that was killed may

    def follows(self, other: "EventFile") -> bool:
        """Tell whether it began when another file had ended; two of which neither follows had two writers at once."""
        return other.began < self.began and other.ended <= self.began

    def takes_over(self, tag: str) -> float:
        """Return the step from which on its values of a tag take the place of what files that it follows hold."""
        return min([self.void_from, *(step for step, _ in self.series.get(tag, ()))])


def read_event_file(path: Path) -> EventFile:
    """Read the scalars of an event file, and nothing else in it.

    Raises:
        EventsError: it is no event file, was damaged, or holds a step that no training has.
    """
    series: dict[str, Series] = {}
    times: list[float] = []
    void_from, damage = math.inf, None
    try:
        modified = path.stat().st_mtime
        for time, points in _events(path):
            times.append(time)
            for tag, step, value in points:
                if tag is None:
                    void_from = min(void_from, step)
                    series = {tag: until(kept, step) for tag, kept in series.items()}
                else:
                    series.setdefault(tag, []).append((step, value))
    except EventsCutOffError as error:
        damage = error
    except OSError as error:
        raise EventsError.corrupt(path=path, reason=error) from error
    began, ended = (times[0], max(times)) if times else (math.inf, math.inf)
    return EventFile(path, series, void_from, began, ended, modified, damage)


def until(series: Series, end: float) -> Series:
    """Return the points before a step."""
    return [point for point in series if point[0] < end]


def _events(path: Path) -> Iterator[tuple[float, list[_Point]]]:
    """Yield wall time and points of each event."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.summary.writer.record_writer import masked_crc32c

    scalar_tags: set[str] = set()
    for start, content, checksum in _records(path):
        try:
            event = Event.FromString(content)
        except DecodeError as error:
            raise EventsError.corrupt(path=path, reason=f"the event at byte {start} is damaged") from error
        points = [
            _Point(v.tag, event.step, _number(v, path)) for v in event.summary.value if _is_scalar(v, scalar_tags)
        ]
        if event.session_log.status == SessionLog.START:
            points.append(_Point(None, event.step, 0.0))
        if (points or len(content) < _LARGE) and masked_crc32c(content) != checksum:
            raise EventsError.corrupt(path=path, reason=f"the event at byte {start} is damaged")
        if points and not FIRST_STEP <= event.step < LONGEST_RUN:
            raise EventsError.corrupt(path=path, reason=f"{points[0].tag} is at step {event.step}")
        if not math.isfinite(event.wall_time):
            raise EventsError.corrupt(path=path, reason=f"the event at byte {start} is of no time")
        yield event.wall_time, points


def _records(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Yield place, content and checksum of each record. TensorBoard's own reader ends at a damaged one, silently."""
    from tensorboard.summary.writer.record_writer import masked_crc32c

    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while (start := file.tell()) < size:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise EventsCutOffError.at(path=path, start=start)
            length, checksum = _HEAD.unpack(head)
            if masked_crc32c(head[:8]) != checksum:
                raise EventsError.corrupt(path=path, reason=f"what is at byte {start} is no event")
            if length > size - start - _HEAD.size - _FOOT.size:
                raise EventsCutOffError.at(path=path, start=start)
            content = file.read(length)
            yield start, content, *_FOOT.unpack(file.read(_FOOT.size))


def _is_scalar(value: Any, known: set[str]) -> bool:
    """Tell whether a summary's value is a scalar: of the old form, or a tensor that a writer declared one, once."""
    if value.metadata.plugin_data.plugin_name == "scalars":
        known.add(value.tag)
    return bool(value.HasField("simple_value") or (value.HasField("tensor") and value.tag in known))


def _number(value: Any, path: Path) -> float:
    """Return a scalar as the shortest decimal that gives back what the file holds."""
    import numpy as np
    from tensorboard.util.tensor_util import make_ndarray

    if value.HasField("simple_value"):
        return float(str(np.float32(value.simple_value)))
    try:
        if any(side.size != 1 for side in value.tensor.tensor_shape.dim):  # before memory is taken for it
            raise ValueError("more than one number")
        number = make_ndarray(value.tensor).reshape(())[()]
        return float(str(number) if isinstance(number, np.floating) else number)
    except (KeyError, TypeError, ValueError) as error:
        raise EventsError.corrupt(path=path, reason=f"{value.tag} is no number ({error})") from error
