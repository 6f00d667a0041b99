"""Places of ours among the system's temporary files; what a session that was killed has left goes with a later one."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4


_PREFIX = "training-regression-"
_OLD_SECONDS = 3 * 24 * 3600
"""No session takes so long."""


def new_folder() -> Path:
    """Make a folder; whoever asks removes it."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Have a folder in a block."""
    place = new_folder()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def new_path(suffix: str = "") -> Path:
    """Return a path where nothing is."""
    return Path(tempfile.gettempdir(), f"{_PREFIX}{uuid4().hex}{suffix}")


def sweep() -> None:
    """Remove what is so old that its session must have been killed."""
    temporary = Path(tempfile.gettempdir())
    for place in (*temporary.glob(f"{_PREFIX}*"), *temporary.glob(f".{_PREFIX}*.lock")):
        with contextlib.suppress(OSError):  # another user's, or gone
            if time.time() - place.lstat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(place) if place.is_dir() else place.unlink()
