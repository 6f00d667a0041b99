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
_HOUSE = Path(__file__).parents[1]
_ROOMS = ("recording", "adapters", "faults", "elsewhere", "workers", "plugin", "explaining")
_OURS = tuple(str(_HOUSE / room) for room in _ROOMS)
_SHIPPED = str(_HOUSE / "shipped")


@functools.cache
def is_librarys(file: str) -> bool:
    """Tell whether a file belongs to an installed library, to Python or to us; what has none is Python's."""
    path = os.path.realpath(file)
    return not file or file.startswith("<frozen") or "site-packages" in path or path.startswith((*_LIBRARIES, _HARNESS))


@functools.cache
def owner(file: str) -> str:
    """Return whose code a file holds: "ours", which records, a "library", or the "project".

    What trains shipped recipes is a project like another.
    """
    if file.startswith(_OURS):
        return "ours"
    return "library" if is_librarys(file) and not file.startswith(_SHIPPED) else "project"


@functools.cache
def is_between(file: str) -> bool:
    """Tell whether a file is ours or Python's, and no installed library's."""
    return owner(file) == "ours" or (owner(file) == "library" and "site-packages" not in file)


def users_line(calls: Iterable[tuple[FrameType, int]]) -> str:
    """Return file and line, `model.py:12`, of the first of some calls that is the user's own; empty if none is."""
    places = ((frame.f_code.co_filename, line) for frame, line in calls)
    return next((f"{file}:{line}" for file, line in places if Path(file).is_file() and not is_librarys(file)), "")
