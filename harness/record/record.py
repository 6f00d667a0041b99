"""What a training did: streams of numbers. No torch, no pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from harness.errors import RecordError
from harness.record.baseline import Calibration
from harness.record.pictures import Histogram, Picture
from harness.record.streams import STAGES, Stream
from harness.record.text import decoded, encoded


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that a training did, as numbers.

    Args:
        name: what the training is called in reports.
        precision: float64, float32 or bfloat16; "... in event files" of a training that left no more than those.
        seed: the seed that all randomness came from.
        device: cpu, cuda or mps.
        recipe: the recipe's fields; empty for a watched loop.
        data: name and SHA-256 of the images in use; empty for a watched loop.
        environment: versions and hardware, name to text.
        structure: tensor name to shape, dtype, requires_grad and parameter group.
        streams: name to stream.
        pictures: "batch", "predictions", "mistakes", "filters", "activation/INPUT" and "activation/CONVOLUTION", where
            there are any. Like histograms and confusion they are for figures; no comparison looks at them.
        histograms: "weight/TENSOR" before the first step and after the last, "gradient/TENSOR" at the first and last.
        confusion: test images by true class (row) and predicted class (column) of the last evaluation, or empty.
        calibration: of a low-precision baseline with stored states.
        provenance: of a baseline: when, from which commit, with which libraries and why it was made.
        seeds: seed to metric to value, of a baseline that was trained with several seeds (`equivalence`).
        seconds: wall time of the training; not part of the text form, so that equal trainings have equal texts.
    """

    name: str
    precision: str
    seed: int
    device: str
    recipe: Mapping[str, Any]
    data: Mapping[str, str]
    environment: Mapping[str, str]
    structure: Mapping[str, Mapping[str, Any]]
    streams: Mapping[str, Stream]
    pictures: Mapping[str, Picture]
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration: Calibration | None = field(default=None, compare=False)
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)
    seeds: Mapping[str, Mapping[str, float]] = field(default_factory=dict, compare=False)
    seconds: float = field(default=0.0, compare=False)

    @property
    def num_steps(self) -> int:
        """Optimizer steps taken."""
        return 1 + max((stream.steps[-1] for stream in self.streams.values() if stream.steps), default=-1)

    def non_finite(self) -> tuple[int, str, str, float] | None:
        """Return step, stage, stream and value of the first NaN or infinity in causal order, or None."""
        found = (
            (step, STAGES.index(stream.stage), name, value)
            for name, stream in self.streams.items()
            for step, value in stream.non_finite()
        )
        first = min(found, key=lambda item: item[:3], default=None)
        return first and (first[0], STAGES[first[1]], first[2], first[3])

    def to_text(self) -> str:
        """Return the record as JSON: a stream's values a few a line, floats by repr, a checksum on top."""
        return encoded(self)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote.

        Raises:
            RecordError: the text is no record, of another format version, or was edited (`reason` "checksum").
        """
        try:
            return cls(**decoded(text))
        except TypeError as error:  # a part that no record has
            raise RecordError.of(f"a part is missing or of a wrong kind ({error})") from error
