"""What a worker must have in common with the session that it works for: code, data and versions."""

import functools
import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from harness.elsewhere.kept import own_digest
from harness.explaining.files_read import noted
from harness.record.environment import differences, versions
from harness.recording.imported import imported


_PACKAGES = ("torch", "torchvision", "numpy", "pytest", "lightning", "transformers", "accelerate", "pytorch-ignite")
"""Those whose versions can change a training, or what is recorded of it."""
_RESULTS = {"build", "dist", "node_modules", "__pycache__"}
"""Folders of what is made from code."""


def facts(root: Path, cifar10: str) -> dict[str, str]:
    """Return what is to be equal: versions by package, digests by the Python file of the project, the data's.

    Args:
        root: of the project.
        cifar10: where CIFAR-10 is; empty for nowhere.
    """
    return {**_versions(), **_data(cifar10), **_sources(root)}


def digest(found: Mapping[str, str]) -> str:
    """Return what stands for all of them."""
    return hashlib.sha256(msgspec.json.encode(dict(found), order="sorted")).hexdigest()


@functools.cache
def _versions() -> Mapping[str, str]:
    ours = {"python": platform.python_version(), "pytest-training-regression": own_digest()[:12]}
    return ours | versions(*_PACKAGES)


def _sources(root: Path) -> dict[str, str]:
    """Return digests of the project's Python files; those of environments, hidden ones and results do not count."""
    found = {}
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if _counts(Path(place, name))]
        for file in (Path(place, name) for name in files if name.endswith(".py")):
            found[file.relative_to(root).as_posix()] = digest_of(file)
    return dict(sorted(found.items()))


def _counts(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _RESULTS
    return not (hidden or (folder / "pyvenv.cfg").exists())


def _data(cifar10: str) -> dict[str, str]:
    """Return what tells one copy of CIFAR-10 from another: it is checked whole where it is read."""
    place = Path(cifar10)
    return {"CIFAR-10": digest_of(place)} if cifar10 and place.is_file() else {}


def digest_of(file: Path) -> str:
    """Return twelve hex digits of what a file holds; "absent" if it cannot be read."""
    try:
        about = file.stat()
        return _digest(file, about.st_mtime_ns, about.st_size, about.st_ino)
    except OSError:
        return "absent"


@functools.lru_cache(maxsize=100_000)
def _digest(file: Path, *_about: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:12]


def unlike(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return what a worker has that is another, in words; of files not what they hold."""
    found = []
    for name, here, there in differences(ours, theirs):
        digests = name.endswith(".py") or name in ("CIFAR-10", "pytest-training-regression")
        found.append(f"another {name}" if digests and "absent" not in (here, there) else f"{name} {there} for {here}")
    return found


def read_here(root: Path, own: Path) -> dict[str, str]:
    """Return the files that a test's result may depend on, also by their absence; of its own folder, which goes, none.

    They are told by what they hold, and are those that the code of the project in `root` has opened or imported.
    """
    files = [Path(file) for file in [*noted()]] + imported(root)
    others = [file for file in files if not file.is_relative_to(own) and (file.is_file() or not file.exists())]
    return {os.fspath(file): digest_of(file) for file in dict.fromkeys(others)}
