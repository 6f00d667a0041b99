"""The files of a project: those of the repository that it is a folder of, each named from the project's root on."""

import functools
import os
from pathlib import Path


@functools.cache
def repository(root: Path) -> Path:
    """Return the folder of the repository that a project is in, whose other folders it may use; or its own."""
    own = Path(os.path.normpath(root.absolute()))
    return next((folder for folder in (own, *own.parents) if (folder / ".git").exists()), own)


def is_of(root: Path, file: Path) -> bool:
    """Tell whether a file, whose path has no `..`, is one of a project's."""
    return file.is_relative_to(repository(root))


def name_of(root: Path, file: Path) -> str:
    """Return a file's name: its path from the root, with `..` where it is in another folder of the repository."""
    return Path(os.path.relpath(file, root)).as_posix()
