"""The text form of a record: JSON with a checksum, floats by repr, readable in a diff."""

import base64
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.errors import RecordError
from harness.record.parts import PICTURE_IMAGES, PICTURE_SIDE, STAGES, Calibration, Picture, Stream, Value


if TYPE_CHECKING:
    from harness.record import Record

__all__ = ["FORMAT", "decoded", "encoded"]

FORMAT = 1
"""Version of the text form; a reader refuses any other."""

_VALUES_PER_LINE = 4
_LONGEST_RUN = 10**9
"""Steps; beyond it a file is no record, and lists of one entry a step would fill the memory."""
_NON_FINITE = ("nan", "inf", "-inf")


def encoded(record: "Record") -> str:
    """Return a record as text; see `Record.to_text`."""
    content = _content(record)
    body = ",\n".join(f"{json.dumps(key)}: {_pretty(value)}" for key, value in content.items())
    return f'{{\n"format": {FORMAT},\n"sha256": "{_checksum(content)}",\n{body}\n}}\n'


def decoded(text: str) -> dict[str, Any]:
    """Return the fields of the record that a text holds; see `Record.from_text`.

    Raises:
        RecordError: the text is no record.
    """
    content = _parse(text)
    try:
        if content.pop("sha256") != _checksum(content):
            raise RecordError(reason="checksum")
        _check_parts(content)
        parts = {"streams": _streams(content), "pictures": _pictures(content)}
        return {**content, **parts, "calibration": _calibration(content), "seeds": _seeds(content)}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, zlib.error) as error:
        raise RecordError(reason=f"a part is missing or of a wrong kind ({error})") from error


def _content(record: "Record") -> dict[str, Any]:
    plain = {
        key: getattr(record, key)
        for key in ("name", "precision", "seed", "device", "recipe", "data", "environment", "structure")
    }
    beside = {"calibration": record.calibration and asdict(record.calibration), "seeds": record.seeds}
    return {
        **plain,
        **{name: part for name, part in beside.items() if part},
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


def _calibration(content: Mapping[str, Any]) -> Calibration | None:
    if "calibration" not in content:
        return None
    entry = content["calibration"]
    largest = {str(kind): tuple(map(float, sizes)) for kind, sizes in entry["largest"].items()}
    steps, states = tuple(entry["steps"]), entry["states"]
    if not all(map(_is_step, steps)) or steps[:1] != (0,) or list(steps) != sorted(set(steps)):
        raise ValueError("calibration")
    if not re.fullmatch("[0-9a-f]{64}", states):  # it becomes part of a file name
        raise ValueError("calibration")
    return Calibration(states, steps, float(entry["margin"]), tuple(map(str, entry["variants"])), largest)


def _seeds(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    seeds = content.get("seeds", {})
    return {str(int(seed)): {name: float(value) for name, value in run.items()} for seed, run in seeds.items()}


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
