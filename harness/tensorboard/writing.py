"""A record as a TensorBoard run. Event files keep float32: this is for looking; records are what is compared."""

import io
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import RecordWriter

from harness.atomic_files import write
from harness.errors import EventsError
from harness.record.record import Record
from harness.tensorboard.images import figures_of, file_of, grids_of
from harness.tensorboard.layout import layout_of
from harness.tensorboard.scalars import Scalars, scalars_of
from harness.tensorboard.summaries import graph_of, histograms_of, hyperparameters, tables_of


_FILE = "events.out.tfevents."


def write_events(
    record: Record, folder: Path, *, labelled: bool = True, images: Mapping[str, bytes] | None = None
) -> None:
    """Write all that a record holds as one TensorBoard run.

    Scalars of every stream of numbers, grouped by kind, with a custom layout; the total gradient norm, and each
    tensor's update over its weight; tables of environment, recipe and structure; the recipe as hyperparameters with the
    final metrics; the module tree as a graph; histograms, image grids and labelled figures.

    Args:
        record: a finished training; what is NaN or infinite in it is left out of the figures, not of the curves.
        folder: of this run alone; event files of an earlier run in it are removed, since TensorBoard merges them.
        labelled: whether the labelled figures are drawn, which takes longer than all the rest.
        images: tag to PNG file, of what is to be shown beside what the record holds.

    Raises:
        EventsError: the folder cannot be written to.
    """
    written = io.BytesIO()
    writer = RecordWriter(written)
    for event in _events(record, labelled, images or {}):
        event.wall_time = time.time()
        writer.write(event.SerializeToString())
    remove_events(folder)
    try:
        write(folder / f"{_FILE}{time.time_ns()}", written.getvalue())
    except OSError as error:
        raise EventsError.unwritten(path=folder, reason=error) from error


def remove_events(folder: Path) -> None:
    """Remove the event files of a run, if there are any, and nothing else.

    Raises:
        EventsError: they cannot be removed.
    """
    try:
        for stale in folder.glob(f"{_FILE}*"):
            stale.unlink(missing_ok=True)
    except OSError as error:
        raise EventsError.unwritten(path=folder, reason=error) from error


def _events(record: Record, labelled: bool, images: Mapping[str, bytes]) -> Iterator[Event]:
    scalars = scalars_of(record)
    yield Event(file_version="brain.Event:2")
    yield Event(graph_def=graph_of(record).SerializeToString())
    for summary in (layout_of(scalars), *tables_of(record), *hyperparameters(record, scalars)):
        yield Event(summary=summary)
    for step, summary in (*_by_step(scalars), *histograms_of(record)):
        yield Event(step=step, summary=summary)
    beside = (file_of(tag, data) for tag, data in images.items())
    for summary in (*grids_of(record), *(figures_of(record) if labelled else ()), *beside):
        yield Event(step=record.num_steps, summary=summary)


def _by_step(scalars: Scalars) -> Iterator[tuple[int, Summary]]:
    """Put what belongs to one step into one event; a tag's second value in a step goes into another event after it."""
    summaries: dict[tuple[int, int], Summary] = {}
    for tag, points in scalars.items():
        last, nth = -1, 0
        for step, value in points:
            last, nth = step, nth + 1 if step == last else 0
            summaries.setdefault((step, nth), Summary()).value.add(tag=tag, simple_value=value)
    for (step, _), summary in sorted(summaries.items(), key=lambda item: item[0]):
        yield step, summary
