"""Image grids, pixel for pixel, and the labelled twin of every figure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness import figures
from harness.errors import RecordError
from harness.figures.canvas import pixels_of
from harness.record import Record


if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

__all__ = ["images_of"]

_GRIDS = ("batch_grid", "prediction_grid")


def images_of(record: Record) -> Iterator["Summary"]:
    """Yield each image that the record has the numbers for: one with NaN or without pictures still has others."""
    for name in _GRIDS:
        yield from _drawn(record, name, f"images/{name.removesuffix('_grid')}", labelled=False)
    for name in figures.OF_A_RECORD:
        yield from _drawn(record, name, f"figures/{name}", labelled=True)


def _drawn(record: Record, name: str, tag: str, *, labelled: bool) -> Iterator["Summary"]:
    from torch.utils.tensorboard.summary import image

    try:
        figure = getattr(figures, name)(record, labelled=labelled)
    except RecordError:
        return
    yield image(tag, pixels_of(figure), dataformats="HWC")
