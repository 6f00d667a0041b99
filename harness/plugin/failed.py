"""Results of failed comparisons: kept, so that `harness accept` needs no other training."""

import os
import shlex
from pathlib import Path

import pytest

from harness.baselines.failed import Candidate, digest, offer, withdraw
from harness.baselines.origin import sources
from harness.errors import OutputError
from harness.plugin import devices
from harness.plugin.record_check import regenerate_command
from harness.plugin.session import Session


def keep(
    item: pytest.Item,
    session: Session,
    baseline: Path,
    data: bytes,
    *,
    difference: str,
    obstacle: str = "",
    command: str = "",
) -> tuple[Path | None, str]:
    """Keep the result of a failed comparison.

    Args:
        item: the test.
        session: the session's state.
        baseline: the file that it was compared with.
        data: the result.
        difference: in words.
        obstacle: what the result lacks to be a whole baseline; empty if nothing.
        command: the command line that makes the baseline by training again, where it is not the usual one.

    Returns:
        The result's file, None if it is not kept (a baseline outside the project, a full disk); and the command line
        that makes it the baseline.
    """
    root, command = session.config.rootpath, command or regenerate_command(item, session)
    if not baseline.is_relative_to(root):
        return None, command
    if _is_other_device(item):
        obstacle = obstacle or f"baselines are written on {devices.writer(item.config)}, one for all devices"
    candidate = Candidate(
        test=item.nodeid,
        baseline=baseline.relative_to(root).as_posix(),
        compared=digest(baseline.read_bytes()),
        result="",
        difference=difference,
        sources=sources(root, session.started),
        obstacle=obstacle,
        command=command,
        origin=session.origin,
    )
    try:
        kept = offer(session.failed, candidate, data)
    except OSError as error:
        session.outcome.note(error)
        return None, command
    return kept, command if obstacle else accept_command(session, candidate.name)


def withdrawn(item: pytest.Item, session: Session, baseline: Path) -> None:
    """Forget the result that an earlier session kept of this test.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        withdraw(session.failed, baseline.name, item.nodeid)
    except OSError as error:
        raise OutputError.of(path=session.shown(session.failed), reason=error) from error


def accept_command(session: Session, name: str = "") -> str:
    """Return the command line that accepts one kept result, or all, from where pytest was started."""
    root, here = session.config.rootpath, session.config.invocation_params.dir
    words = ["harness", "accept", *([name] if name else [])]
    if not here.is_relative_to(root):
        words += ["--root", os.path.relpath(root, here)]
    return f'{shlex.join(words)} --reason "..."'


def _is_other_device(item: pytest.Item) -> bool:
    device = devices.device_of(item)
    return device is not None and not item.get_closest_marker("device") and device != devices.writer(item.config)
