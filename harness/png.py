"""Provenance inside a PNG: a text chunk of our own, which leaves the pixels and every other byte as they are."""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping


__all__ = ["annotated", "annotations", "plain"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KIND = b"tEXt"
_KEYWORD = b"training-regression\x00"
_FRAME = 12
"""Bytes of a chunk beside its data: length, kind and CRC (PNG specification, 5.3)."""


def annotated(data: bytes, entries: Mapping[str, str]) -> bytes:
    """Return a PNG with these entries instead of former ones; anything but a PNG comes back as it is."""
    data = plain(data)
    if not (data.startswith(_SIGNATURE) and entries and len(data) > _FRAME):
        return data
    text = _KIND + _KEYWORD + json.dumps(dict(entries)).encode("ascii")
    chunk = struct.pack(">I", len(text) - len(_KIND)) + text + struct.pack(">I", zlib.crc32(text))
    return data[:-_FRAME] + chunk + data[-_FRAME:]  # before IEND, which has no data


def annotations(data: bytes) -> dict[str, str]:
    """Return the entries of a PNG; none if it has none that can be read."""
    for start, end in _ours(data):
        try:
            entries = json.loads(data[start + 8 + len(_KEYWORD) : end - 4])
        except (ValueError, RecursionError):
            return {}
        return {str(name): str(text) for name, text in entries.items()} if isinstance(entries, dict) else {}
    return {}


def plain(data: bytes) -> bytes:
    """Return a PNG without entries."""
    for start, end in reversed([*_ours(data)]):
        data = data[:start] + data[end:]
    return data


def _ours(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each chunk of ours."""
    start = len(_SIGNATURE) if data.startswith(_SIGNATURE) else len(data)
    while start + _FRAME <= len(data):
        end = start + _FRAME + int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] == _KIND and data[start + 8 :].startswith(_KEYWORD) and end <= len(data):
            yield start, end
        start = end
