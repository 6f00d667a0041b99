"""When in its step a value came: after how many of the step's optimizers, and in which of its micro-batches."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from harness.record import Record, Stream, StreamKey


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


def moment(key: StreamKey, stream: Stream, place: int, count: int, batches: int) -> Moment:
    """Return when in its step a value came.

    Args:
        key: of its stream.
        stream: that it is of.
        place: its own among the stream's values of the step.
        count: of these values.
        batches: micro-batches of the step.
    """
    if stream.stage in _BEFORE or (batches < 2 and not stream.phases):
        return ONCE
    phase = stream.phases[min(place, len(stream.phases) - 1)] if stream.phases else 0
    if stream.stage in _REPEATED and count % batches == 0:
        return Moment(phase, place * batches // count, batches)
    if key.is_clue:  # of what is noted as it changes, or only of the first calls
        return Moment(phase, min(place, batches - 1), batches)
    return Moment(phase, batches - 1)


def micro_batches(*records: Record) -> Mapping[int, int]:
    """Return step to the number of its micro-batches, of steps that have several, the larger one of some records."""
    counts: Counter[int] = Counter()
    for record in records:
        sizes = record.streams.find("batch/size")
        counts |= Counter(sizes.steps if sizes else ())
    return {step: count for step, count in counts.items() if count > 1}
