"""A record: what a training did."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, Self

from harness.record.pictures import Histogram, Picture
from harness.record.streams import KINDS, STAGES, StreamKey, Streams
from harness.record.text import read_baseline, write_record


Source = Literal["recorder", "event files"]
"""Where the numbers were taken: as they were computed, or from TensorBoard's files, which keep float32."""


class NonFinite(NamedTuple):
    """A NaN or an infinity in a record."""

    step: int
    stage: str
    stream: StreamKey
    value: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that a training did, as numbers.

    Args:
        name: what the training is called in reports.
        precision: float64, float32 or bfloat16.
        source: where the numbers were taken.
        seed: the seed that all randomness came from.
        device: cpu, cuda or mps.
        recipe: the recipe's fields; empty for a watched loop.
        data: name and SHA-256 of the images in use; empty for a watched loop.
        environment: versions and hardware, name to text.
        structure: tensor name to shape, dtype, requires_grad and parameter group.
        streams: of any mapping, names are taken apart here.
        kinds: kinds of streams that the recorder knew, whether this training has any of them or not.
        initial: digests of the exact weights that the models began with, one after another; a note, not compared: their
            last digits show in no norm, but are another CPU's right.
        pictures: "batch", "predictions", "mistakes", "filters", "activation/INPUT" and "activation/CONVOLUTION", where
            there are any. Like histograms and confusion they are for figures; no comparison looks at them.
        histograms: "weight/TENSOR" before the first step and after the last, "gradient/TENSOR" at the first and last.
        confusion: test images by true class (row) and predicted class (column) of the last evaluation, or empty.
        seconds: wall time of the training; not part of the text form, so that equal trainings have equal texts.
        ignored: of event files, pattern to the streams that it left out; not part of the text form either.
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
    kinds: tuple[str, ...] = KINDS
    initial: str = ""
    pictures: Mapping[str, Picture]
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    seconds: float = field(default=0.0, compare=False)
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    replaced: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if type(self.streams) is not Streams:
            object.__setattr__(self, "streams", Streams(self.streams))  # frozen to everybody else

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

    def non_finite(self) -> NonFinite | None:
        """Return the first NaN or infinity in causal order, or None."""
        found = (
            NonFinite(step, stream.stage, key, value)
            for key, stream in self.streams.items()
            for step, value in stream.non_finite()
        )
        return min(found, key=lambda item: (item.step, STAGES.index(item.stage), item.stream), default=None)

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
