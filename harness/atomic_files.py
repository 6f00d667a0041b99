"""Reading no more than can be meant; writing so that a killed process leaves, and a reader sees, old or new."""

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import BaselineWriteError, HarnessError


LARGEST_FILE = 64 * 2**20
"""Bytes; a record aims at 200 KB and states at 2 MB, so anything above is none of ours and is not read into memory."""
_ROOM = 2**20
"""Bytes; the least that any session writes."""
SCRAP = ".unfinished"
"""How the name of a file ends that is being written; one that stays was left by a process that was killed."""


def read(path: Path, most: int = LARGEST_FILE) -> bytes:
    """Return the bytes of a file; OSError if it has more than `most`, or is a device or pipe, which never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is not a file")
    with path.open("rb") as file:
        data = file.read(most + 1)  # its size is only what it says of itself
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most // 2**20} MiB")
    return data


def write(path: Path, data: bytes) -> None:
    """Write beside the file, flush to disk, then rename over it; after an OSError, what stood there still stands."""
    write_all({path: data})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write several files, and their folders if need be: none takes its place before all are whole.

    Raises:
        OSError: one cannot be written; if that is for lack of room, all stand as they stood.
    """
    for folder in {path.parent for path in contents}:
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as unfinished:
        ready = {path: _beside(path, data, unfinished) for path, data in contents.items()}
        for path, scrap in ready.items():
            scrap.replace(path)
        unfinished.pop_all()


def _beside(path: Path, data: bytes, unfinished: contextlib.ExitStack) -> Path:
    """Write a file beside another, with its mode; a new one has that of any new file: mkstemp's are private."""
    scrap = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}{SCRAP}")
    with scrap.open("xb") as file:
        unfinished.callback(scrap.unlink, missing_ok=True)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(former := path.lstat().st_mode):
            scrap.chmod(stat.S_IMODE(former))
    return scrap


def scraps(folder: Path) -> list[str]:
    """Return the names of files that were being written when their process was killed, or are being written now."""
    return sorted(path.name for path in folder.glob(f".*{SCRAP}"))


def check_writable(folder: Path, refuse: Callable[..., HarnessError] = BaselineWriteError.of) -> None:
    """Refuse, before any training, a folder that cannot be made or written to, or has no room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM))
            file.flush()
    except OSError as error:
        raise refuse(path=folder, reason=error) from error
