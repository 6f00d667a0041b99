"""Who made a baseline, from which sources, with which libraries, and why."""

import hashlib
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from harness.baselines.atomic_files import LARGEST_FILE
from harness.baselines.folder import spelt_out


ABOUT = ("made", "command", "reason")
"""Entries that say when, how and why; the others say with what, and are worth naming when they have changed."""
DRAWING = ("matplotlib", "freetype")
"""Entries that say what drew a figure."""
_GIT_SECONDS = 10


def origin(root: Path, command: str, reason: str = "") -> dict[str, str]:
    """Return where a result that a command line makes now comes from, name to text; what is unknown here is left out.

    Python, torch, system, processor, threads and device are in a record's `environment`.
    """
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    found = {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git(root, "rev-parse", "--short=12", "HEAD"),
        "dirty": "" if status is None else "yes" if status else "no",
        "torch build": _torch_build(),
        "torchvision": _version("torchvision"),
        **drawing_versions(),
        "command": command,
        "reason": reason,
    }
    return {name: text for name, text in found.items() if text}


def drawing_versions() -> dict[str, str]:
    """Return the versions of what draws figures, name (of `DRAWING`) to text."""
    from matplotlib import ft2font

    return dict(zip(DRAWING, (_version("matplotlib"), str(ft2font.__freetype_version__)), strict=True))


def is_reason(text: str) -> bool:
    """Tell whether a reason says anything: the placeholder that messages print does not."""
    return bool(text.strip(". \t\n"))


def _git(root: Path, *words: str) -> str | None:
    output = git_output(root, *words)
    return None if output is None else output.decode(errors="replace").strip()


def git_output(folder: Path, *words: str) -> bytes | None:
    """Return what a git command writes in a folder, or None where it fails, or there is no git."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def commit_date(file: Path) -> str:
    """Return the day of the last commit that changed a file; empty if there is none."""
    return _git(file.parent, "log", "-1", "--format=%cs", "--", file.name) or ""


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _torch_build() -> str:
    from torch import version

    return ", ".join(filter(None, [(version.git_version or "")[:12], version.cuda and f"CUDA {version.cuda}"]))


def command_text(program: str, arguments: Sequence[str], here: Path) -> str:
    """Return a command line, started in `here`, as text that other machines understand: absolute paths shortened."""
    return shlex.join([program, *(_shortened(argument, here) for argument in arguments)])


def _shortened(argument: str, here: Path) -> str:
    option, equals, value = argument.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return argument
    return option + equals + (str(path.relative_to(here)) if path.is_relative_to(here) else path.name)


def sources(root: Path, started: float) -> dict[str, str]:
    """Return the Python files of a project that this process has imported: path from the root to SHA-256.

    Installed packages below the root do not count; a file that was written after the process started, in seconds since
    the epoch, is not what was imported.
    """
    imported = {str(getattr(module, "__dict__", {}).get("__file__")) for module in [*sys.modules.values()]}
    below = (Path(name) for name in sorted(imported) if name.startswith(str(root)) and name.endswith(".py"))
    ours = [file for file in below if file.is_relative_to(root) and "site-packages" not in file.parts]
    edited = "edited while the tests ran"
    states = ((file, edited if file.stat().st_mtime > started else _digest(file)) for file in ours if file.is_file())
    return {file.relative_to(root).as_posix(): state for file, state in states}


def changed_sources(root: Path, before: Mapping[str, str]) -> list[str]:
    """Return the files, of those that `sources` returned, that are not what they were, or are gone.

    What an artifact names is read within the project, and no further than a source goes.
    """
    return [name for name, digest in before.items() if _digest_or_none(root, name) != digest]


def _digest_or_none(root: Path, name: str) -> str | None:
    file = root / name
    try:
        inside = spelt_out(file).is_relative_to(spelt_out(root))
        return _digest(file) if inside and file.is_file() and file.stat().st_size <= LARGEST_FILE else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
