"""The files that the project's code reads: a training may be told by them what to do, and no line of code changes."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from harness.recording.imported import imported, is_installed
from harness.recording.lines import owner
from harness.recording.project_files import is_of, name_of


_TEXTS = (".json", ".yaml", ".yml", ".toml", ".txt")
_LARGEST_TEXT = 2**20
"""Bytes of a file that may be a configuration; others are data."""


@functools.cache
def noted() -> dict[str, float]:
    """Return the files that the project's code has opened to read since the first call of this, in order, and when.

    They are noted as long as the process lives: Python has no way to take an audit hook away.
    """
    files: dict[str, float] = {}

    def hear(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            with contextlib.suppress(Exception):  # or nobody could open anything
                files.update(dict.fromkeys(_read(*given), time.time()))

    sys.addaudithook(hear)
    return files


def files_read(root: Path) -> list[str]:
    """Return those of them in the repository of a project, from its root on; modules are no data."""
    code = {*imported(root)}
    read = (Path(file) for file in [*noted()])
    return [name_of(root, file) for file in read if file not in code and is_of(root, file)]


def texts_read(root: Path, started: float, apart: Collection[Path]) -> list[Path]:
    """Return the project's files of text, configurations above all, that a session's tests have read.

    What was written since it started is a result.

    Args:
        root: of the project.
        started: when the session did, in seconds since the epoch.
        apart: folders of other files.
    """
    texts = [Path(file) for file, last in [*noted().items()] if last >= started and file.endswith(_TEXTS)]
    inside = [file for file in texts if is_of(root, file) and not is_installed(file)]
    own = [file for file in inside if not any(file.is_relative_to(folder) for folder in apart)]
    found = [(file, file.stat()) for file in own if file.is_file()]
    return [file for file, about in found if about.st_size <= _LARGEST_TEXT and about.st_mtime <= started]


def _read(path: object, mode: object, flags: int) -> Iterator[str]:
    """Yield a file's absolute path, if it is opened to be read, by code of the project or by what that calls."""
    if isinstance(path, str | bytes | os.PathLike) and not flags & os.O_WRONLY and _is_projects(sys._getframe(2)):
        yield os.path.normpath(Path(os.fsdecode(path)).absolute())


def _is_projects(frame: FrameType | None) -> bool:
    """Tell whether a frame works for the project: not for an import, and not for us."""
    while frame and owner(file := frame.f_code.co_filename) == "library" and not file.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None and owner(frame.f_code.co_filename) == "project"
