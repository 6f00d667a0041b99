"""Files of a baseline are plain files: no links, and nothing that git left in their place."""

import re
from pathlib import Path

from harness.atomic_files import read
from harness.baselines.origin import git_output
from harness.errors import BaselineCorruptError


_POINTER = re.compile(rb"version https://(git-lfs\.github|hawser\.github)\.com/spec/")
"""How a file begins that Git LFS puts in a large one's place."""
_MARK = re.compile(rb"^(<<<<<<<|\|\|\|\|\|\|\||=======|>>>>>>>)( |\r?$)", re.MULTILINE)
"""What git writes between the sides of a conflict: no JSON text has such a line."""


def read_plain(path: Path, command: str, shown: Path) -> bytes:
    """Return the bytes of a baseline's file; messages give the path as it is shown, and what regenerates it.

    A hard link is a plain file: git has none, and results of a session are new files, which are behind no link that
    was made before.

    Raises:
        BaselineCorruptError: it is a link, or a pointer of Git LFS.
        OSError: it cannot be read, or is larger than any of ours.
    """
    if path.is_symlink():
        raise BaselineCorruptError.link(path=shown, target=path.readlink(), command=command)
    data = read(path)
    if _POINTER.match(data):
        raise BaselineCorruptError.pointer(path=shown, command=command)
    return data


def require_merged(path: Path, data: bytes, command: str, shown: Path) -> None:
    """Refuse a text that could not be used, and is what a merge left: BaselineCorruptError says how it ends.

    What somebody began to resolve by hand has fewer marks, or none.
    """
    if git_output(path.parent, "ls-files", "--unmerged", "--", path.name):
        raise BaselineCorruptError.unmerged(path=shown, command=command)
    if _MARK.search(data):
        raise BaselineCorruptError.marked(path=shown, command=command)


def link_in(path: Path, root: Path) -> Path | None:
    """Return the first part of a folder's path, below a project's root, that is a link, or None.

    Links above the root are the system's; of a folder elsewhere, only the folder itself is asked for.
    """
    below = [part for part in (path, *path.parents) if part != root and part.is_relative_to(root)]
    return next((part for part in reversed(below or [path]) if part.is_symlink()), None)


def is_within(path: Path, folder: Path) -> bool:
    """Tell whether a file or folder is another one or in it, whatever links lead there."""
    return path.resolve().is_relative_to(folder.resolve())
