"""A record: what a training did."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from harness.atomic_files import read, write
from harness.errors import ArgumentError, RecordError, number
from harness.inert import inert_line
from harness.record.gate import fits
from harness.record.pictures import Histogram, Picture
from harness.record.streams import KINDS, STAGES, StreamKey, Streams, Value
from harness.record.text import read_baseline, write_record
from harness.record.world import World


Source = Literal["recorder", "event files"]
"""Where the numbers were taken: as they were computed, or from TensorBoard's files, which keep float32."""


class NonFinite(NamedTuple):
    """A NaN or an infinity in a record."""

    step: int
    stage: str
    stream: StreamKey
    value: float


def _non_finite(streams: Streams) -> Iterator[NonFinite]:
    """Yield the first NaN or infinity of each stream that has one."""
    for key, stream in streams.items():
        for step, value in islice(stream.non_finite(), 1):
            yield NonFinite(step, stream.stage, key, value)


def _order(found: NonFinite) -> tuple[int, int]:
    return found.step, STAGES.index(found.stage)


def _short(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True, repr=False)
class Record:
    """Everything that a training did, as numbers.

    Args:
        name: what the training is called in reports.
        precision: float64, float32 or bfloat16.
        source: where the numbers were taken.
        seed: the seed that all randomness came from.
        device: cpu, cuda or mps.
        recipe: the recipe's fields, or the configuration that a watched loop gave.
        data: name and SHA-256 of the images in use; empty for a watched loop.
        environment: versions and hardware, name to text.
        structure: tensor name to shape, dtype, requires_grad and parameter group.
        streams: of any mapping, names are taken apart here.
        clues: streams that say how the training was set up and what each module did: they name causes, and nothing is
            judged by them.
        kinds: kinds of streams that the recorder knew, whether this training has any of them or not.
        initial: digests of the exact weights that the models began with, one after another; a note, not compared: their
            last digits show in no norm, but are another CPU's right.
        pictures: "batch", "predictions", "mistakes", "filters", "activation/INPUT" and "activation/CONVOLUTION", where
            there are any. Like histograms and confusion they are for figures; no comparison looks at them.
        undrawn: of a picture, or of "confusion", that the training gave and that could not be kept, why; another note.
        class_names: in the order of the labels, for figures; empty if not known.
        world: the process group that it was one rank of; None where there was none.
        histograms: "weight/TENSOR" before the first step and after the last, "gradient/TENSOR" at the first and last.
        confusion: test images by true class (row) and predicted class (column) of the last evaluation, or empty.
        seconds: wall time of the training; not part of the text form, so that equal trainings have equal texts.
        step_seconds: of each step after the first (`recording.step_times`); likewise.
        ignored: pattern to the streams that it left out; not part of the text form either.
        replaced: of event files, stream to the number of values that a later file took the place of; likewise.
    """

    name: str
    precision: str
    source: Source = "recorder"
    seed: int
    device: str
    recipe: Mapping[str, Any]
    data: Mapping[str, str]
    environment: Mapping[str, str]
    structure: Mapping[str, Mapping[str, Any]]
    streams: Streams
    clues: Streams = field(default_factory=Streams)
    kinds: tuple[str, ...] = KINDS
    initial: str = ""
    pictures: Mapping[str, Picture]
    undrawn: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    world: World | None = None
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    seconds: float = field(default=0.0, compare=False)
    step_seconds: tuple[float, ...] = field(default=(), compare=False)
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    replaced: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("streams", "clues"):
            if type(getattr(self, name)) is not Streams:
                object.__setattr__(self, name, Streams(getattr(self, name)))  # frozen to everybody else

    def __repr__(self) -> str:
        losses = [key for key, stream in self.streams.items() if stream.stage == "forward" and "loss" in key.lower()]
        values = {key: self.streams[key].values for key in sorted(losses, key=lambda key: key != "loss")}
        ends = "".join(
            f", {key} {_short(series[0])} -> {_short(series[-1])}" for key, series in [*values.items()][:2] if series
        )
        streams = f"{number(self.num_steps, 'step')}, {number(len(self.streams), 'stream')}"
        return inert_line(f"<Record {self.name}: {self.format_text}, {self.device}, {streams}{ends}>")

    @property
    def num_steps(self) -> int:
        """Optimizer steps taken."""
        return 1 + max((stream.steps[-1] for stream in self.streams.values() if stream.steps), default=-1)

    @property
    def is_low_precision(self) -> bool:
        """Whether it computed in less than float64."""
        return self.precision != "float64"

    @property
    def format_text(self) -> str:
        """The number format in words: where numbers come from event files, that is said."""
        return self.precision if self.source == "recorder" else f"{self.precision} in {self.source}"

    def without(self, patterns: Iterable[str]) -> Self:
        """Return it without the streams that fit a pattern; `ignored` names them."""
        names = (*self.streams, *self.clues)
        found = {pattern: tuple(name for name in names if fits(name, [pattern])) for pattern in patterns}
        found = {pattern: fitting for pattern, fitting in found.items() if fitting}
        if not found:
            return self
        gone = {*chain.from_iterable(found.values())}
        left = (Streams(item for item in part.items() if item[0] not in gone) for part in (self.streams, self.clues))
        streams, clues = left
        return replace(self, streams=streams, clues=clues, ignored={**self.ignored, **found})

    def non_finite(self, allowed: Collection[str] = ()) -> NonFinite | None:
        """Return the first NaN or infinity in causal order, or None; that of the first module that made it, if known.

        Outputs of modules alone count for nothing: nobody may use them. Streams that fit a pattern may hold some.
        """
        found = (each for each in _non_finite(self.streams) if not fits(each.stream, allowed))
        first = min(found, key=_order, default=None)
        if first is None:
            return None
        made = (each for each in _non_finite(self.clues) if each.step >= first.step - 1)
        return min((*made, first), key=_order)

    def to_text(self, **beside: Any) -> str:
        """Return the record as JSON: a stream's values a few a line, floats by repr, a checksum on top.

        Args:
            **beside: what a baseline holds beside it, as JSON values.
        """
        return write_record({field.name: getattr(self, field.name) for field in fields(self)}, **beside)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote; what a baseline's text holds beside is left out.

        Raises:
            RecordError: the text is no record, of another format version, or was edited (`reason` "checksum").
        """
        return cls(**read_baseline(text)[0])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_text` to a file, wholly or not at all.

        Raises:
            RecordError: the file cannot be written; what stood there still stands.
        """
        try:
            write(Path(path), self.to_text().encode())
        except (OSError, ValueError) as error:
            raise RecordError.unwritten(path=os.fspath(path), reason=error) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, or the record of a baseline's file.

        Raises:
            RecordError: there is no such file, or it holds no record, or was edited (`reason` "checksum").
        """
        try:
            return cls.from_text(read(Path(path)).decode())
        except (OSError, ValueError, RecordError) as error:
            reason = error.reason if isinstance(error, RecordError) else error
            raise RecordError.unreadable(path=os.fspath(path), reason=reason) from error


def require_record(value: object, function: str, field: str = "record") -> None:
    """Refuse what is no record, most often the recorder that holds one: ArgumentError names function and argument."""
    if not isinstance(value, Record):
        raise ArgumentError.of(function, field, value, "a Record: recorder.record, once the recorder's block has ended")
