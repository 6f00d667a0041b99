"""The project's files that a process has imported or run, told by one that trains to the session that started it.

A test may train in a process of its own: `train.py`, ranks that are spawned. That process alone knows what it imported;
it says so when a recorded block ends. Children that record nothing, or are started without this process's variables,
say nothing.
"""

import contextlib
import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from harness.recording.inherited import inherited
from harness.recording.project_files import is_of, repository


_STANDARD = sysconfig.get_path("stdlib")
"""Folder of the standard library, which may be in an environment within the project."""
_VARIABLE = "HARNESS_IMPORTED"
_ran: set[str] = set()


def note_running() -> None:
    """Remember the files whose code has called this: a script that `runpy` runs is no module once it has ended."""
    frame: FrameType | None = sys._getframe()
    while frame:
        _ran.add(os.path.normpath(Path(frame.f_code.co_filename).absolute()))
        frame = frame.f_back


def imported(root: Path) -> list[Path]:
    """Return the files of a project that this process has imported or run; what is installed does not count."""
    names = {str(getattr(module, "__dict__", {}).get("__file__")) for module in [*sys.modules.values()]}
    names = {os.path.normpath(name) for name in names if name.endswith(".py")} | _ran
    below = (Path(name) for name in sorted(names) if name.startswith(str(repository(root))))
    return [file for file in below if is_of(root, file) and not is_installed(file) and file.name[:1] != "<"]


def is_installed(file: Path) -> bool:
    """Tell whether a file is a library's, though its environment may be in the project."""
    return "site-packages" in file.parts or file.is_relative_to(_STANDARD)


@contextlib.contextmanager
def listening(root: Path, file: Path) -> Iterator[None]:
    """Have processes that are started in a block tell what they import.

    Args:
        root: of the project.
        file: that they write to; it is there once one has told something.
    """
    try:
        with inherited(_VARIABLE, [os.getpid(), str(root), str(file)]):
            yield
    finally:
        file.unlink(missing_ok=True)


def tell() -> None:
    """Tell the session, if this process is not its own, what has been imported."""
    session, root, file = json.loads(os.environ.get(_VARIABLE) or "[0, null, null]")
    if file is None or session == os.getpid():
        return
    text = "".join(f"{path}\n" for path in imported(Path(root)))
    with contextlib.suppress(OSError):  # a training is worth more than the list
        target = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(target, text.encode("utf-8", "surrogateescape"))  # at once: other ranks write, too
        finally:
            os.close(target)


def told(file: Path) -> list[Path]:
    """Return what processes have told so far."""
    if not file.exists():
        return []
    names = file.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    return [Path(name) for name in dict.fromkeys(names)]
