"""What a training did: streams of numbers, and their text form. No torch, no pickle."""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

from harness.errors import RecordError


__all__ = ["FORMAT", "PICTURE_IMAGES", "PICTURE_SIDE", "STAGES", "Picture", "Record", "Stream", "Value"]

FORMAT = 1
"""Version of the text form; a reader refuses any other."""

STAGES = (
    "structure",
    "data",
    "init",
    "schedule",
    "forward",
    "backward",
    "update",
    "state",
    "evaluation",
)
"""Causal order. The schedule comes first in a step: the rate that the step will use is settled before it begins."""

Value = float | int | str
"""A number, or the fingerprint of something that is not one."""

PICTURE_IMAGES = 10
"""Images a record keeps of a batch: two rows of five, the article's grid."""
PICTURE_SIDE = 64
"""Largest height and width in pixels of an image that is kept."""

_VALUES_PER_LINE = 4
_LONGEST_RUN = 10**9
"""Steps; beyond it a file is no record, and lists of one entry a step would fill the memory."""
_NON_FINITE = ("nan", "inf", "-inf")


@dataclass(frozen=True)
class Stream:
    """One quantity over a run.

    Args:
        stage: where in a step it is made; one of `STAGES`.
        steps: step of each value, 0-based, ascending; a step may occur several times (micro-batches) or never.
        values: one a step in `steps`; floats are exact.
    """

    stage: str
    steps: tuple[int, ...]
    values: tuple[Value, ...]

    def non_finite(self) -> Iterator[tuple[int, float]]:
        """Yield step and value of each NaN or infinity."""
        for step, value in zip(self.steps, self.values, strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                yield step, value


@dataclass(frozen=True)
class Picture:
    """A few images with their labels, kept so that figures need only the record.

    Args:
        pixels: uint8 bytes of shape (count, height, width, 3).
        shape: (count, height, width).
        labels: class of each image.
        predicted: class that the model gave each image; empty for images that were not classified.
    """

    pixels: bytes
    shape: tuple[int, int, int]
    labels: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that a training did, as numbers.

    Args:
        name: what the training is called in reports.
        precision: float64, float32 or bfloat16.
        seed: the seed that all randomness came from.
        device: cpu, cuda or mps.
        recipe: the recipe's fields; empty for a watched loop.
        data: name and SHA-256 of the images in use; empty for a watched loop.
        environment: versions and hardware, name to text.
        structure: tensor name to shape, dtype, requires_grad and parameter group.
        streams: name to stream.
        pictures: "batch" and "predictions", where there are any.
        seconds: wall time of the training; not part of the text form, so that equal trainings have equal texts.
        fault: whether the fault that was to be planted (`Variation.fault`) took effect, and if not, why; None if none
            was. Not part of the text form either.
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
    seconds: float = field(default=0.0, compare=False)
    fault: tuple[bool, str] | None = field(default=None, compare=False)

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
        content = _content(self)
        body = ",\n".join(f"{json.dumps(key)}: {_pretty(value)}" for key, value in content.items())
        return f'{{\n"format": {FORMAT},\n"sha256": "{_checksum(content)}",\n{body}\n}}\n'

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote.

        Raises:
            RecordError: the text is no record, of another format version, or was edited (`reason` "checksum").
        """
        content = _parse(text)
        try:
            if content.pop("sha256") != _checksum(content):
                raise RecordError(reason="checksum")
            _check_parts(content)
            return cls(**{**content, "streams": _streams(content), "pictures": _pictures(content)})
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, zlib.error) as error:
            raise RecordError(reason=f"a part is missing or of a wrong kind ({error})") from error


def _content(record: Record) -> dict[str, Any]:
    plain = {
        key: getattr(record, key)
        for key in ("name", "precision", "seed", "device", "recipe", "data", "environment", "structure")
    }
    return {
        **plain,
        "streams": {name: _stream_content(stream) for name, stream in record.streams.items()},
        "pictures": {name: _picture_content(picture) for name, picture in record.pictures.items()},
    }


def _stream_content(stream: Stream) -> dict[str, Any]:
    dense = stream.steps == tuple(range(len(stream.steps)))
    steps = len(stream.steps) if dense else list(stream.steps)
    return {"stage": stream.stage, "steps": steps, "values": [_plain(value) for value in stream.values]}


def _plain(value: Value) -> Value:
    """JSON has no NaN: write non-finite numbers as words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _picture_content(picture: Picture) -> dict[str, Any]:
    return {
        "shape": list(picture.shape),
        "labels": list(picture.labels),
        "predicted": list(picture.predicted),
        "pixels": base64.b85encode(zlib.compress(picture.pixels, 9)).decode(),
    }


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _pretty(value: Any, depth: int = 1) -> str:
    """JSON with a line an entry of the two outer levels and a few values a line below: readable in a diff."""
    if isinstance(value, Mapping) and value and depth < 4:
        items = (f"{' ' * depth}{json.dumps(key)}: {_pretty(item, depth + 1)}" for key, item in value.items())
        return "{\n" + ",\n".join(items) + "\n" + " " * (depth - 1) + "}"
    if isinstance(value, list) and len(value) > _VALUES_PER_LINE:
        texts = [json.dumps(item) for item in value]
        rows = (texts[i : i + _VALUES_PER_LINE] for i in range(0, len(texts), _VALUES_PER_LINE))
        return "[\n" + ",\n".join(" " * depth + ", ".join(row) for row in rows) + "]"
    return json.dumps(value)


def _parse(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(reason=f"it is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise RecordError(reason=f"it is not of format {FORMAT}")
    return content


def _check_parts(content: Mapping[str, Any]) -> None:
    for part in ("recipe", "data", "environment", "structure", "streams", "pictures"):
        if not isinstance(content[part], dict):
            raise TypeError(part)
    if not all(isinstance(entry, dict) for entry in content["structure"].values()):
        raise TypeError("structure")
    if not all(isinstance(content[part], str) for part in ("name", "precision", "device")):
        raise TypeError("name, precision or device")


def _streams(content: Mapping[str, Any]) -> dict[str, Stream]:
    return {name: _stream(name, entry) for name, entry in content["streams"].items()}


def _stream(name: str, entry: Mapping[str, Any]) -> Stream:
    values = tuple(float(value) if value in _NON_FINITE else value for value in entry["values"])
    steps = entry["steps"]
    if isinstance(steps, int):  # a count: of the values there are, not of those that a hostile file promises
        steps = range(len(values)) if steps == len(values) else ()
    stream = Stream(entry["stage"], tuple(steps), values)
    if stream.stage not in STAGES or len(stream.steps) != len(values):
        raise ValueError(f"stream {name}")
    ascending = all(map(_is_step, stream.steps)) and all(a <= b for a, b in pairwise(stream.steps))
    if not ascending or not all(map(_is_value, values)):
        raise TypeError(f"stream {name}")
    return stream


def _is_step(step: object) -> bool:
    return isinstance(step, int) and 0 <= step < _LONGEST_RUN


def _is_value(value: object) -> bool:
    return isinstance(value, int | float | str)


def _pictures(content: Mapping[str, Any]) -> dict[str, Picture]:
    return {name: _picture(entry) for name, entry in content["pictures"].items()}


def _picture(entry: Mapping[str, Any]) -> Picture:
    count, height, width = entry["shape"]
    if not (0 < count <= PICTURE_IMAGES and 0 < height <= PICTURE_SIDE and 0 < width <= PICTURE_SIDE):
        raise ValueError("a picture's shape")  # before anything is unpacked: the file's own claim is no limit
    size = count * height * width * 3
    unpacked = zlib.decompressobj()
    pixels = unpacked.decompress(base64.b85decode(entry["pixels"]), size + 1)  # no more, however small it was packed
    if len(pixels) != size:
        raise ValueError("a picture's size")
    labels, predicted = tuple(entry["labels"]), tuple(entry["predicted"])
    if {len(labels), len(predicted)} - {0, count} or not all(isinstance(k, int) for k in labels + predicted):
        raise ValueError("a picture's labels")
    return Picture(pixels, (count, height, width), labels, predicted)
