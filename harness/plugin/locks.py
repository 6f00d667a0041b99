"""A folder that one session has to itself, though two may run at once."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout


__all__ = ["own_folder"]


def own_folder(folder: Path, cleanup: Callable[[Callable[[], None]], None]) -> Path:
    """Return a folder, or one beside it if another session has it now.

    Where no lock can be made, neither can the folder: whoever writes to it will say so.

    Args:
        folder: wanted.
        cleanup: takes what is to be called when the session ends.
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return folder.with_name(f"{folder.name}-{os.getpid()}")
    except OSError:
        return folder
    cleanup(lock.release)
    return folder
