"""A PNG that may be unpacked, and the origin inside it: a text chunk of our own.

Pillow would write every other byte anew, pixels included.
"""

import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KIND = b"tEXt"
_KEYWORD = b"training-regression\x00"
_FRAME = 12
"""Bytes of a chunk beside its data: length, kind and CRC (PNG specification, 5.3)."""
_HEADER = struct.pack(">I", 13) + b"IHDR"
"""How the first chunk begins, and no other (5.6)."""
_MOST_PIXELS = 2**25
"""Of a figure: a comparison takes 50 bytes a pixel, so this many take 1.7 GB; ours have a few hundred thousand."""
_MOST_CHUNKS = 2**14
"""Matplotlib writes one of pixels for each 64 KiB, so that the largest file has a sixteenth of these."""


def check(data: bytes) -> None:
    """Raise ValueError unless this is a whole PNG that can be unpacked, with no more pixels than a figure has."""
    from PIL import Image

    _check_chunks(data)
    try:
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()  # the CRC of every chunk
        Image.open(io.BytesIO(data), formats=("PNG",)).load()
    except Exception as error:  # of whatever kind: Pillow's readers document none
        raise ValueError(f"it is damaged ({error})") from error


def _check_chunks(data: bytes) -> None:
    """Raise ValueError for what a decoder would allocate or walk through, before anything is unpacked."""
    if not data.startswith(_SIGNATURE):
        raise ValueError("it is not a PNG")
    if not data.startswith(_HEADER, len(_SIGNATURE)):
        raise ValueError("it does not begin with its header")
    kinds = [data[start + 4 : start + 8] for start, _ in islice(_chunks(data), _MOST_CHUNKS + 1)]
    if len(kinds) > _MOST_CHUNKS:
        raise ValueError(f"it has more than {_MOST_CHUNKS} chunks")
    if kinds.count(b"IHDR") > 1:  # a decoder would go by the last
        raise ValueError("it has several headers")
    width, height = _promised(data)
    if width * height > _MOST_PIXELS:
        raise ValueError(f"its header promises {width} x {height} pixels")


def size(data: bytes) -> tuple[int, int] | None:
    """Return width and height as the header of a PNG says; None if it is none, or has no pixels."""
    if not data.startswith(_SIGNATURE + _HEADER):
        return None
    width, height = _promised(data)
    return (width, height) if 0 < width * height <= _MOST_PIXELS else None


def _promised(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def rms(one: bytes, other: bytes) -> float | None:
    """Return the root mean square difference of two PNGs in grey levels, as pytest-mpl does; None if sizes differ."""
    import numpy as np
    from PIL import Image

    pictures = (Image.open(io.BytesIO(data)).convert("RGB") for data in (one, other))
    first, second = (np.asarray(picture, dtype=np.float64) for picture in pictures)
    return float(np.sqrt(np.mean((first - second) ** 2))) if first.shape == second.shape else None


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
        texts = entries.items() if isinstance(entries, dict) else ()
        return {name: text for name, text in texts if isinstance(text, str)}
    return {}


def plain(data: bytes) -> bytes:
    """Return a PNG without entries."""
    places = [0, *(place for chunk in _ours(data) for place in chunk), len(data)]
    return b"".join(data[start:end] for start, end in zip(places[::2], places[1::2], strict=True))


def _ours(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each chunk of ours."""
    chunks = ((start, end) for start, end in _chunks(data) if data.startswith(_KIND + _KEYWORD, start + 4))
    return ((start, end) for start, end in chunks if end <= len(data))


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each chunk; the last may promise more than there is."""
    start = len(_SIGNATURE) if data.startswith(_SIGNATURE) else len(data)
    while start + _FRAME <= len(data):
        end = start + _FRAME + int.from_bytes(data[start : start + 4], "big")
        yield start, end
        start = end
