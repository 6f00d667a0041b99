"""A trace as a baseline keeps it: the operations of a training's first step and of its first evaluation."""

import base64
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta


_LARGEST = 2**20
"""Bytes of a part's operations, unpacked."""
_DIGITS = 5
"""Bytes that are kept of a number's eight: nine decimal digits."""
OF_A_LINE = 1000
"""Operations that one line asked for, where there is room."""
_Step = Annotated[int, Meta(ge=0, lt=10**9)]


@dataclass(frozen=True)
class Operations:
    """Operations of a part of a training, in the order in which they ran."""

    step: int  # in which, or after which, they ran
    names: Sequence[str] = field(repr=False)  # of each operation: `aten.relu`
    numbers: Sequence[float] = field(repr=False)  # one for each operation, which tells its results from others
    backward: bool = True  # whether those of backward passes are among them
    cut: bool = False  # whether there were more
    of_a_line: int = OF_A_LINE  # how many one line asked for, before what else it asked for is one


@dataclass(frozen=True)
class Trace:
    """What a baseline keeps of a traced training.

    Args:
        torch: the version whose operations these are.
        parts: the operations of "start", up to the end of the first step, and of the first "evaluation" after it.
        constants: `FILE:NAME` to the text of each plain value of a module that a traced line names.
    """

    torch: str
    parts: Mapping[str, Operations]
    constants: Mapping[str, str] = field(default_factory=dict)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    step: _Step
    backward: bool = True
    cut: bool = False
    of_a_line: _Step = OF_A_LINE
    packed: str


class TraceText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trace's text form."""

    torch: str
    constants: dict[str, str] = {}
    parts: dict[str, _Part]


def trace_content(trace: Trace) -> dict[str, Any]:
    """Return a trace as JSON values."""
    parts = {name: _part_content(part) for name, part in trace.parts.items()}
    return {"torch": trace.torch, "constants": dict(trace.constants), "parts": parts}


def _part_content(part: Operations) -> dict[str, Any]:
    of_a_line = {} if part.of_a_line == OF_A_LINE else {"of_a_line": part.of_a_line}
    return {"step": part.step, "backward": part.backward, "cut": part.cut, **of_a_line, "packed": packed(part)}


def trace(text: TraceText) -> Trace:
    """Return the trace of its text form; ValueError if it is none."""
    parts = {name: _operations(part) for name, part in text.parts.items()}
    return Trace(text.torch, parts, text.constants)


def packed(part: Operations) -> str:
    """Return names and numbers as text: columns, which pack better than rows."""
    table = sorted(set(part.names))
    place = {name: index for index, name in enumerate(table)}
    names = [struct.pack(">H", place[name]) for name in part.names]
    numbers = [struct.pack(">d", number)[:_DIGITS] for number in part.numbers]
    head = json.dumps(table).encode()
    columns = b"".join(bytes(column) for column in (*zip(*names, strict=True), *zip(*numbers, strict=True)))
    return base64.b85encode(zlib.compress(struct.pack(">I", len(head)) + head + columns, 9)).decode()


def _operations(part: _Part) -> Operations:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b85decode(part.packed), _LARGEST)
        (length,) = struct.unpack_from(">I", data)
        table, columns = msgspec.json.decode(data[4 : 4 + length], type=list[str]), data[4 + length :]
        count, rest = divmod(len(columns), 2 + _DIGITS)
        if rest or not unpacker.eof:
            raise ValueError("a trace that is cut off")
        rows = [columns[i::count] for i in range(count)]
        names = [table[struct.unpack(">H", row[:2])[0]] for row in rows]
        numbers = [struct.unpack(">d", row[2:].ljust(8, b"\0"))[0] for row in rows]
    except (zlib.error, struct.error, IndexError) as error:
        raise ValueError(f"a trace ({error})") from error
    return Operations(part.step, names, numbers, part.backward, part.cut, part.of_a_line)
