"""Whose line of code is at work: the user's own, a library's, or ours."""

import functools
import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import FrameType


_LIBRARIES = tuple(
    {f"{os.path.realpath(sysconfig.get_path(name))}{os.sep}" for name in ("stdlib", "purelib", "platlib")}
)
_HARNESS = os.path.realpath(f"{__file__}/../..") + os.sep


@functools.cache
def is_librarys(file: str) -> bool:
    """Tell whether a file belongs to an installed library, to Python or to us; what has none is Python's."""
    path = os.path.realpath(file)
    return not file or file.startswith("<frozen") or "site-packages" in path or path.startswith((*_LIBRARIES, _HARNESS))


def users_line(calls: Iterable[tuple[FrameType, int]]) -> str:
    """Return file and line, `model.py:12`, of the first of some calls that is the user's own; empty if none is."""
    places = ((frame.f_code.co_filename, line) for frame, line in calls)
    return next((f"{file}:{line}" for file, line in places if Path(file).is_file() and not is_librarys(file)), "")
