"""A folder that one session has to itself, though two may run at once."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout


__all__ = ["own_folder"]


def own_folder(folder: Path, cleanup: Callable[[Callable[[], None]], None]) -> Path:
    """Return a folder, or one beside it if another session has it now.

    The lock is among the temporary files: a project that has no test of ours is left as it is. Where none can be made,
    sessions share the folder.

    Args:
        folder: wanted.
        cleanup: takes what is to be called when the session ends.
    """
    key = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir(), f".training-regression-{key}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return folder.with_name(f"{folder.name}-{os.getpid()}")
    except OSError:
        return folder
    cleanup(lock.release)
    return folder
