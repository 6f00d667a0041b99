"""The text form of a record and a baseline: JSON with a checksum, floats by repr, readable in a diff."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from harness.errors import RecordError
from harness.recipe import Precision
from harness.record.calibration import Calibration
from harness.record.gate import STRICT, Gate
from harness.record.pictures import confusion, histogram, histogram_rows, picture, picture_content
from harness.record.streams import FIRST_STEP, LONGEST_RUN, STAGES, Part, Stream, Streams
from harness.record.trace import TraceText, trace
from harness.record.world import World


FORMAT = 4
"""Version of the text form; a reader refuses any other."""

_VALUES_PER_LINE = 4
_LARGEST_NUMBER = 2**1000
"""Above any seed and count; a float holds it, which figures make of it."""
_MOST_PICTURES = 16
"""Of one record: each may unpack to far more than it takes."""
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # one NaN: it equals itself in a tuple
_PLAIN = (
    "name",
    "precision",
    "source",
    "seed",
    "device",
    "recipe",
    "data",
    "environment",
    "initial",
    "class_names",
    "undrawn",
)
"""Fields of a record that stand in its text as they are."""
_MAY_LACK = ("clues", "initial", "class_names", "undrawn", "world", "confusion", "histograms")
_Step = Annotated[int, Meta(ge=FIRST_STEP, lt=LONGEST_RUN)]
_Place = Annotated[int, Meta(ge=0, lt=LONGEST_RUN)]
_Side = Annotated[int, Meta(ge=0, lt=2**62)]
_SERIES = ("streams", "clues")
_Texts = dict[str, str]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the text form: its fields and what they may be, checked by msgspec."""


class _Stream(_Part, frozen=True):
    stage: Literal[STAGES]  # type: ignore[valid-type] # one source: a tuple of literals is one to msgspec
    steps: _Place | list[_Step]
    values: list[float | int | str]
    phases: list[_Place] = []
    part: Part | None = None


class _Tensor(msgspec.Struct, frozen=True):
    """What figures and TensorBoard's graph take for granted; a tensor may lack any of it, and have more."""

    shape: list[_Side] = []
    dtype: str = ""
    group: str | None = None


class _Content(_Part, frozen=True, kw_only=True):
    name: str
    precision: Precision
    source: Literal["recorder", "event files"]
    seed: int
    device: str
    recipe: dict[str, Any]
    data: _Texts
    environment: _Texts
    structure: dict[str, _Tensor]
    kinds: list[str]
    streams: dict[str, _Stream]
    clues: dict[str, _Stream] = {}
    initial: str = ""
    class_names: tuple[str, ...] = ()
    undrawn: _Texts = {}
    world: World | None = None
    confusion: list[list[int]] = []
    histograms: dict[str, list[list[float | int]]] = {}
    pictures: Annotated[dict[str, Any], Meta(max_length=_MOST_PICTURES)]
    origin: _Texts = {}
    sources: _Texts = {}
    calibration: Calibration | UnsetType = UNSET  # missing, but not null
    seeds: dict[int, dict[str, float]] = {}
    gate: Gate = STRICT
    trace: TraceText | None = None


def write_record(fields: Mapping[str, Any], **beside: Any) -> str:
    """Return the fields of a record as text, and what a baseline holds beside it (JSON values), unless it is empty."""
    content = {**_content(fields), **{name: part for name, part in beside.items() if part}}
    order = dict.fromkeys(("name", *beside, *content))
    body = ",\n".join(f"{json.dumps(key)}: {_pretty(content[key])}" for key in order if key in content)
    return f'{{\n"format": {FORMAT},\n"sha256": "{_checksum(content)}",\n{body}\n}}\n'


def read_baseline(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a text's record, and what a baseline holds beside it; RecordError if it is no record."""
    content = _parse(text)
    try:
        if content.pop("sha256") != _checksum(content):
            raise RecordError.of("checksum")
        checked = msgspec.convert(content, _Content, str_keys=True)  # of a seed, too
        calibration = None if checked.calibration is UNSET else checked.calibration
        beside = {name: getattr(checked, name) for name in ("origin", "sources", "seeds", "gate")}
        kept = trace(checked.trace) if checked.trace else None
        return _record(checked, content), {**beside, "calibration": calibration, "trace": kept}
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RecordError.of(f"a part is missing or of a wrong kind ({error})") from error


def _content(fields: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {
        **{name: fields[name] for name in (*_PLAIN, "structure")},
        "kinds": list(fields["kinds"]),
        "world": msgspec.to_builtins(fields["world"]),
        **{part: {str(key): _stream_content(entry) for key, entry in fields[part].items()} for part in _SERIES},
        "confusion": [list(row) for row in fields["confusion"]],
        "histograms": {name: histogram_rows(entry) for name, entry in fields["histograms"].items()},
        "pictures": {name: picture_content(entry) for name, entry in fields["pictures"].items()},
    }
    return {name: part for name, part in content.items() if part or name not in _MAY_LACK}


def _stream_content(stream: Stream) -> dict[str, Any]:
    dense = stream.steps == tuple(range(len(stream.steps)))
    steps = len(stream.steps) if dense else list(stream.steps)
    words = [str(value) if isinstance(value, float) and not math.isfinite(value) else value for value in stream.values]
    phases = {"phases": list(stream.phases)} if stream.phases else {}
    part = {"part": msgspec.to_builtins(stream.part)} if stream.part else {}
    content = {"stage": stream.stage, "steps": steps, "values": words}  # JSON has no NaN: words stand for it
    return content | phases | part


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


def loads(text: str) -> Any:
    """Return what a JSON text holds; ValueError if it is none, or if an object has a key twice.

    The last of two would count, and a checksum of what was parsed fits with the first one there: a reviewer would read
    what no reader uses.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counts.most_common(1)[0][0]!r} stands twice")
    return content


def _parse(text: str) -> dict[str, Any]:
    try:
        content = loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError.of(f"it is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise RecordError.of(f"it is not of format {FORMAT}")
    return content


def _record(checked: _Content, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record: as they were checked, or, of what may hold more, as they stand."""
    if not abs(checked.seed) < _LARGEST_NUMBER:
        raise ValueError("seed")
    if any(str(int(seed)) != seed for seed in content.get("seeds", ())):  # "1" and "01" would be one
        raise ValueError("seeds")
    return {
        **{name: getattr(checked, name) for name in (*_PLAIN, "world")},
        "structure": content["structure"],
        "kinds": tuple(checked.kinds),
        **{
            part: Streams((name, _stream(name, entry)) for name, entry in getattr(checked, part).items())
            for part in _SERIES
        },
        "pictures": {name: picture(entry) for name, entry in checked.pictures.items()},
        "histograms": {name: histogram(rows) for name, rows in checked.histograms.items()},
        "confusion": confusion(checked.confusion),
    }


def _stream(name: str, entry: _Stream) -> Stream:
    values = tuple(_NON_FINITE.get(value, value) if isinstance(value, str) else value for value in entry.values)
    steps: Any = entry.steps
    if isinstance(steps, int):  # a count: of the values there are, not of those that a hostile file promises
        steps = range(len(values)) if steps == len(values) else ()
    if len(steps) != len(values) or not all(a <= b for a, b in pairwise(steps)):
        raise ValueError(f"stream {name}")
    if not all(abs(value) < _LARGEST_NUMBER for value in values if isinstance(value, int)):
        raise ValueError(f"stream {name}")
    return Stream(entry.stage, tuple(steps), values, tuple(entry.phases), entry.part)
