"""The text form of a record: JSON with a checksum, floats by repr, readable in a diff."""

import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeGuard, get_args

from harness.errors import RecordError
from harness.recipe import Precision
from harness.record.baseline import Calibration
from harness.record.pictures import confusion, histogram, histogram_rows, picture, picture_content
from harness.record.streams import STAGES, Stream, Value


if TYPE_CHECKING:
    from harness.record.record import Record


FORMAT = 2
"""Version of the text form. A reader also takes 1, whose pictures are packed otherwise; it refuses any other."""

_VALUES_PER_LINE = 4

LONGEST_RUN = 10**9
"""Steps; beyond it a file is no record, and lists of one entry a step would fill the memory."""

_LARGEST_NUMBER = 2**1000
"""Above any seed and count; a float holds it, which figures make of it."""

_LONGEST_SIDE = 2**62
"""Of a tensor."""

_MOST_PICTURES = 16
"""Of one record: each may unpack to far more than it takes."""

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
            raise RecordError.of("checksum")
        _check_parts(content)
        beside = {"calibration": _calibration(content), "seeds": _seeds(content)}
        return {**content, **_parts(content), **beside, "provenance": _texts(content.get("provenance", {}))}
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        raise RecordError.of(f"a part is missing or of a wrong kind ({error})") from error


def _content(record: "Record") -> dict[str, Any]:
    plain = {
        key: getattr(record, key)
        for key in ("name", "precision", "seed", "device", "recipe", "data", "environment", "structure")
    }
    beside = {
        "provenance": record.provenance,
        "calibration": record.calibration and asdict(record.calibration),
        "seeds": record.seeds,
    }
    drawn = {
        "confusion": [list(row) for row in record.confusion],
        "histograms": {name: histogram_rows(entry) for name, entry in record.histograms.items()},
    }
    return {
        **plain,
        **{name: part for name, part in beside.items() if part},
        "streams": {name: _stream_content(stream) for name, stream in record.streams.items()},
        **{name: part for name, part in drawn.items() if part},
        "pictures": {name: picture_content(entry) for name, entry in record.pictures.items()},
    }


def _stream_content(stream: Stream) -> dict[str, Any]:
    dense = stream.steps == tuple(range(len(stream.steps)))
    steps = len(stream.steps) if dense else list(stream.steps)
    return {"stage": stream.stage, "steps": steps, "values": [_plain(value) for value in stream.values]}


def _plain(value: Value) -> Value:
    """JSON has no NaN: write non-finite numbers as words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _pretty(value: Any, depth: int = 1) -> str:
    """JSON with a line an entry of the two outer levels and a few values a line below: readable in a diff."""
    if isinstance(value, Mapping) and value and depth < 4:
        items = (f"{' ' * depth}{json.dumps(key)}: {_pretty(item, depth + 1)}" for key, item in value.items())
        return "{\n" + ",\n".join(items) + "\n" + " " * (depth - 1) + "}"
    if isinstance(value, list) and value and isinstance(value[0], list):  # a row a line
        return "[\n" + ",\n".join(" " + json.dumps(row, separators=(",", ":")) for row in value) + "]"
    if isinstance(value, list) and len(value) > _VALUES_PER_LINE:
        texts = [json.dumps(item) for item in value]
        rows = (texts[i : i + _VALUES_PER_LINE] for i in range(0, len(texts), _VALUES_PER_LINE))
        return "[\n" + ",\n".join(" " + ", ".join(row) for row in rows) + "]"
    return json.dumps(value)


def _parse(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError.of(f"it is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) not in range(1, FORMAT + 1):
        raise RecordError.of(f"it is not of format 1 or {FORMAT}")
    return content


def _check_parts(content: Mapping[str, Any]) -> None:
    for part in ("recipe", "structure", "streams", "pictures"):
        if not isinstance(content[part], dict):
            raise TypeError(part)
    for part in ("data", "environment"):
        _texts(content[part])
    if not all(isinstance(content[part], str) for part in ("name", "device")):
        raise TypeError("name or device")
    if content["precision"].partition(" ")[0] not in get_args(Precision):
        raise ValueError("precision")
    if not (_is_whole(content["seed"]) and abs(content["seed"]) < _LARGEST_NUMBER):
        raise TypeError("seed")
    for name, entry in content["structure"].items():
        _check_tensor(name, entry)


def _check_tensor(name: str, entry: Mapping[str, Any]) -> None:
    """Check what figures and TensorBoard's graph take for granted; a tensor may lack any of it."""
    shape, group = entry.get("shape", []), entry.get("group")
    if not (isinstance(shape, list) and all(_is_whole(size) and 0 <= size < _LONGEST_SIDE for size in shape)):
        raise TypeError(f"shape of {name}")
    if not (isinstance(group, str | None) and isinstance(entry.get("dtype", ""), str)):
        raise TypeError(f"group or dtype of {name}")


def _parts(content: Mapping[str, Any]) -> dict[str, Any]:
    if len(content["pictures"]) > _MOST_PICTURES:
        raise ValueError("too many pictures")
    return {
        "streams": _streams(content),
        "pictures": {name: picture(entry) for name, entry in content["pictures"].items()},
        "histograms": {name: histogram(entry) for name, entry in content.get("histograms", {}).items()},
        "confusion": confusion(content.get("confusion", ())),
    }


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


def _texts(entry: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(text, str) for text in entry.values()):
        raise TypeError("environment, data or provenance")
    return dict(entry)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_step(step: object) -> bool:
    return _is_whole(step) and 0 <= step < LONGEST_RUN


def _is_value(value: object) -> bool:
    return isinstance(value, float | str) or (_is_whole(value) and abs(value) < _LARGEST_NUMBER)
