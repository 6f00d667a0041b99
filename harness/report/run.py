"""What ran: project, commit, machine and versions of a session, as a page is headed."""

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from harness.baselines.origin import git_output
from harness.record.environment import machine, versions
from harness.record.world import launch


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """A session; what is not known of it is empty.

    Args:
        project: its name.
        branch: of the commit.
        commit: and whether there were changes on top of it.
        made: day and time.
        machine: processor and system.
        versions: of what computes.
        seconds: that the session took.
        launch: what the sessions have in common that one launcher started (`record.world.launch`).
    """

    project: str = ""
    branch: str = ""
    commit: str = ""
    made: str = ""
    machine: str = ""
    versions: str = ""
    seconds: float = 0.0
    launch: str = ""


UNKNOWN = Run()
"""Of findings without a session."""


def run_of(root: Path, started: float) -> Run:
    """Return what runs in a project, and since when (seconds since the epoch)."""
    branch, commit = _commit(root)
    libraries = versions("torch", "matplotlib")
    return Run(
        project=root.name,
        branch=branch,
        commit=commit,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{machine()['processor']}, {platform.system()} {platform.machine()}",
        versions=", ".join([f"Python {platform.python_version()}", *map(" ".join, libraries.items())]),
        seconds=round(max(0.0, time.time() - started), 1),
        launch=launch(),
    )


def united(runs: Sequence[Run]) -> Run:
    """Return what several sessions have in common, and the seconds of all."""
    texts = {name: {getattr(run, name) for run in runs} for name in Run.__struct_fields__ if name != "seconds"}
    common = {name: found.pop() for name, found in texts.items() if len(found) == 1}
    return Run(**common, seconds=round(sum(run.seconds for run in runs), 1))


def _commit(root: Path) -> tuple[str, str]:
    """Return branch and commit; both empty where git knows neither."""
    output = git_output(root, "status", "--porcelain=v2", "--branch", "--untracked-files=no") or b""
    lines = output.decode(errors="replace").splitlines()
    about = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch.") and line.count(" ") > 1)
    commit = about.get("branch.oid", "").replace("(initial)", "")[:7]
    dirty = any(not line.startswith("#") for line in lines)
    branch = about.get("branch.head", "").replace("(detached)", "")
    return branch, commit + " with changes" * (dirty and bool(commit))
