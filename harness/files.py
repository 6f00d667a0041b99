"""Writing files so that a reader, and a process that is killed, leaves or sees the old one or the new one."""

import os
import tempfile
from pathlib import Path

from harness.errors import BaselineWriteError


__all__ = ["SCRAP", "check_writable", "scraps", "write"]

SCRAP = ".unfinished"
"""How the name of a file ends that is being written; one that stays was left by a process that was killed."""


def write(path: Path, data: bytes) -> None:
    """Write beside the file, flush to disk, then rename over it.

    Raises:
        OSError: it cannot be written; what stood there still stands.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=SCRAP)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp's files are private
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def scraps(folder: Path) -> list[str]:
    """Return the names of files that were being written when their process was killed, or are being written now."""
    return sorted(path.name for path in folder.glob(f".*{SCRAP}"))


def check_writable(folder: Path) -> None:
    """Make sure, before any training, that baselines can be written to a folder; create it if need be.

    Raises:
        BaselineWriteError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BaselineWriteError(path=folder, reason=error.strerror or error) from error
