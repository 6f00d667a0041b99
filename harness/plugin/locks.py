"""A folder that one session has to itself, though two may run at once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


__all__ = ["own_folder"]


def own_folder(folder: Path, cleanup: Callable[[Callable[[], None]], None]) -> Path:
    """Return a folder, emptied, or one beside it if another session has it now.

    Without locks (Windows) sessions share the folder.

    Args:
        folder: wanted.
        cleanup: takes what is to be called when the session ends.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock").open("w")
    cleanup(lock.close)
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError:
        return folder.with_name(f"{folder.name}-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier session
    return folder
