"""When in its step a value came: after how many of the step's optimizers, and in which of its micro-batches."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from harness.record import Record, Stream, StreamKey
from harness.record.streams import CAUSES


class Moment(NamedTuple):
    """A moment of a step.

    Args:
        phase: optimizers that had stepped before a pass through the models began.
        batch: 0-based number of the micro-batch, of the last one where a value is none of a single micro-batch's.
        batches: micro-batches of the step; 1 where a value is none of a single micro-batch's.
    """

    phase: int = 0
    batch: int = 0
    batches: int = 1


ONCE = Moment()
_BEFORE = ("structure", "init", "schedule")
"""Stages that are settled before a step begins."""
_REPEATED = ("data", "forward", "backward")
"""Stages that each micro-batch goes through."""


def moment(key: StreamKey, stage: str, phase: int, place: int, count: int, batches: int) -> Moment:
    """Return when in its step a value came.

    Args:
        key: of its stream.
        stage: of the value.
        phase: of the value.
        place: its own among the stream's values of the step.
        count: of these values.
        batches: micro-batches of the step.
    """
    if stage in _BEFORE:
        return ONCE
    if stage not in _REPEATED:
        return Moment(phase, batches - 1)
    if count % batches == 0:
        return Moment(phase, place * batches // count, batches)
    if stage == "data":  # noted as it changes, in any of the micro-batches
        return Moment(phase)
    if key.kind in CAUSES or (key.is_clue and count > 1):  # noted in the first pass, or of the first calls
        return Moment(phase, min(place, batches - 1), batches)
    return Moment(phase, batches - 1)


def phases(*streams: Stream | None) -> Mapping[tuple[int, int], int]:
    """Return step and place of the values of some streams to their phases, the last stream's where several have one."""
    known = (stream for stream in streams if stream and stream.phases)
    return {place: phase for stream in known for place, phase in zip(stream.places(), stream.spread(), strict=True)}


def micro_batches(record: Record) -> Counter[int]:
    """Return step to the number of its micro-batches."""
    sizes = record.streams.find("batch/size")
    return Counter(sizes.steps if sizes else ())
