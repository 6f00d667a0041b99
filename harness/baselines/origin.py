"""Who made a baseline, from which sources, with which libraries, and why."""

import glob
import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.atomic_files import read
from harness.baselines.folder import spelt_out
from harness.errors import SuiteError
from harness.record.environment import versions
from harness.recording.imported import imported
from harness.recording.project_files import is_of, name_of, repository


ABOUT = ("made", "command", "reason")
"""Entries that say when, how and why; the others say with what, and are worth naming when they have changed."""
DRAWING = ("matplotlib", "freetype")
"""Entries that say what drew a figure."""
CONTENT_DIGITS = 16
"""Of git's name of a content: enough to tell what a file was."""
_GIT_SECONDS = 10.0


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
        **versions("torchvision"),
        **drawing_versions(),
        "command": command,
        "reason": reason,
    }
    return {name: text for name, text in found.items() if text}


def drawing_versions() -> dict[str, str]:
    """Return the versions of what draws figures, name (of `DRAWING`) to text."""
    from matplotlib import ft2font

    return {**versions("matplotlib"), "freetype": str(ft2font.__freetype_version__)}


def is_reason(text: str) -> bool:
    """Tell whether a reason says anything: the placeholder that messages print does not."""
    return bool(text.strip(". \t\n"))


def _git(root: Path, *words: str) -> str | None:
    output = git_output(root, *words)
    return None if output is None else output.decode(errors="replace").strip()


def git_output(folder: Path, *words: str, seconds: float = _GIT_SECONDS) -> bytes | None:
    """Return what a git command writes in a folder, or None where it fails, takes too long, or there is no git.

    It asks no server, and what else works in the repository goes on.
    """
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    offline = os.environ | {"GIT_NO_LAZY_FETCH": "1"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, env=offline)
    except (OSError, ValueError, subprocess.TimeoutExpired):  # a word that no command line can hold is a ValueError
        return None
    return done.stdout if done.returncode == 0 else None


def commit_date(file: Path) -> str:
    """Return the day of the last commit that changed a file; empty if there is none."""
    return _git(file.parent, "log", "-1", "--format=%cs", "--", file.name) or ""


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


def sources(root: Path, started: float, others: Iterable[Path] = ()) -> dict[str, str]:
    """Return the files that a result depends on, as far as they are the project's: path from the root to content.

    These are the Python files that this process has imported, and others. The content of a file that was written after
    it started (seconds since the epoch) is not what was imported; it is not given.
    """
    ours = sorted({*imported(root), *(file for file in others if is_of(root, file))})
    names = {name_of(root, file): file.stat().st_mtime > started for file in ours if file.is_file()}
    return {name: "" if edited else content_name(root, name) for name, edited in names.items()}


def named_sources(root: Path, names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the files of a project that a test says its training depends on: paths or patterns (`src/**/*.py`).

    SuiteError if there is none of a name, or one lies outside the project, where nobody would look for it later.
    """
    found: list[Path] = []
    for name in [os.fspath(name) for name in ([names] if isinstance(names, str | os.PathLike) else names)]:
        exact = Path(root, name)
        matches = [exact] if exact.is_file() else [Path(root, match) for match in _matching(root, name)]
        files = [Path(os.path.normpath(match)) for match in matches if match.is_file()]
        if not files or not all(is_of(root, file) for file in files):
            raise SuiteError.no_source(name=name, root=root)
        found += files
    return found


def _matching(root: Path, pattern: str) -> list[str]:
    return glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 # Path.glob takes no absolute pattern


def changed_sources(root: Path, before: Mapping[str, str]) -> list[str]:
    """Return the files, of those that `sources` returned, that are not what they were, or are gone."""
    return [name for name, content in before.items() if not content or content_name(root, name) != content]


def is_inside(root: Path, name: str) -> bool:
    """Tell whether a path, which may be anybody's, is one of a project's files."""
    path = spelt_out(root / name)
    return repository(spelt_out(root)) in path.parents and not path.is_dir()


def content_name(root: Path, name: str) -> str:
    """Return what git calls the content of a project's file, shortened; empty if it is gone, or none of the project's.

    So git finds what a file was (it takes SHA-1 of a header and the content), and a checkout with other line ends has
    the same. What an artifact names is read within the project, and no further than a source goes.
    """
    try:
        if not (is_inside(root, name) and (root / name).is_file()):
            return ""
        content = read(root / name).replace(b"\r\n", b"\n")
    except (OSError, ValueError):  # too large for a source, or a name that no file can have
        return ""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()[:CONTENT_DIGITS]
