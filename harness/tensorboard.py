"""A record as TensorBoard event files. TensorBoard keeps float32: it is for looking, never for comparing."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from harness import figures
from harness.errors import RecordError
from harness.figures.canvas import pixels_of
from harness.record import Record


if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

__all__ = ["write_events"]

_GROUPS = {
    "forward": "training/",
    "schedule": "",
    "evaluation": "",
}
"""Stages whose floats are shown one by one, with what their tags start with."""


def write_events(record: Record, folder: Path) -> None:
    """Write a record's curves, image grids and labelled figures as one TensorBoard run.

    Args:
        record: a finished training; what is NaN or infinite in it is left out of the figures, not of the curves.
        folder: of this run alone; event files of an earlier run in it are removed, since TensorBoard merges them.
    """
    from torch.utils.tensorboard.writer import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("events.out.tfevents.*"):
        stale.unlink(missing_ok=True)
    with SummaryWriter(str(folder)) as writer:
        _write_curves(writer, record)
        for name in figures.__all__:
            _write_figure(writer, record, name)


def _write_curves(writer: "SummaryWriter", record: Record) -> None:
    for name, stream in record.streams.items():
        if stream.stage in _GROUPS:
            for step, value in zip(stream.steps, stream.values, strict=True):
                if isinstance(value, float):
                    writer.add_scalar(_GROUPS[stream.stage] + name, value, step)
    for step, norm in enumerate(gradient_norms(record)):
        writer.add_scalar("training/gradient_norm", norm, step)


def gradient_norms(record: Record) -> list[float]:
    """Return the norm of the whole gradient of every step, as the optimizer got it."""
    totals = [0.0] * record.num_steps
    for stream in record.streams.values():
        if stream.stage == "backward":
            for step, value in zip(stream.steps, stream.values, strict=True):
                totals[step] = math.hypot(totals[step], float(value))
    return totals


def _write_figure(writer: "SummaryWriter", record: Record, name: str) -> None:
    try:
        figure = getattr(figures, name)(record, labelled=True)
    except RecordError:  # a record without pictures, or with NaN, still has its curves
        return
    writer.add_image(name, pixels_of(figure), record.num_steps, dataformats="HWC")
