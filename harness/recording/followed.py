"""Lines that run in processes which a watched one starts: they watch themselves, from when they import the recorder."""

import atexit
import contextlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from harness.atomic_files import write
from harness.recording.imported import imported
from harness.recording.inherited import inherited
from harness.recording.project_files import name_of
from harness.recording.running import Running, is_free, is_watched, note


ELSEWHERE = "another process ran it"
"""A doubt: what ran there before it watched itself is not known."""
_VARIABLE = "HARNESS_RUNNING"
_following: list[Running] = []


def write_wanted(
    file: Path, root: Path, log: Path, wanted: Mapping[str, Collection[int]], heads: Mapping[str, Collection[int]]
) -> None:
    """Write for processes that will be started what they look for; of the arguments see `Running`."""
    lines = [{name: sorted(each) for name, each in one.items()} for one in (wanted, heads)]
    write(file, json.dumps([str(root), str(log), *lines]).encode("utf-8", "surrogateescape"))


def asking(file: Path) -> contextlib.AbstractContextManager[None]:
    """Return what has processes that are started in a block note which lines run in them.

    Args:
        file: that `write_wanted` has written.
    """
    return inherited(_VARIABLE, [os.getpid(), str(file)])


def follow() -> None:
    """Note which lines run until this process ends, if one that started it asks for that."""
    session, file = json.loads(os.environ.get(_VARIABLE) or "[0, null]")
    if file is None or session == os.getpid() or is_watched() or not Path(file).exists():
        return
    root, log, wanted, heads = json.loads(Path(file).read_bytes().decode("utf-8", "surrogateescape"))
    before = {name_of(Path(root), file) for file in imported(Path(root))}
    for name in before & wanted.keys() if is_free() else wanted:
        note(Path(log), name, ELSEWHERE)
    if is_free():
        _following.append(Running(Path(root), Path(log), wanted, heads))
        atexit.register(unfollow)


def unfollow() -> None:
    """Note no more: for processes that end without doing what they have registered for their end."""
    while _following:
        _following.pop().close()
