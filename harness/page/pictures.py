"""The pictures of figures that failed, for the page to hold."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.results import Result


__all__ = ["pictures"]

_LARGEST = 2**20
"""Bytes; a larger figure would swell the page, and is left in its folder."""


def pictures(results: Iterable[Result], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of figures that failed: path, as results name it, and bytes.

    Args:
        results: of a session.
        folder: of these results, which the paths of pictures are relative to.
    """
    for result in results:
        if result["figure"] and not result["passed"]:
            for name in (result["figure"]["baseline"], result["figure"]["result"]):
                if data := _picture(folder / name):
                    yield name, data


def _picture(path: Path) -> bytes:
    """Return a picture's bytes; none if it is gone, too large or cannot be read: the page has its numbers."""
    try:
        small = path.suffix == ".png" and path.is_file() and path.stat().st_size <= _LARGEST
        return path.read_bytes() if small else b""
    except OSError:
        return b""
