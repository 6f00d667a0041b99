"""Kills of processes that train in the trees of other commits: what is left of the user's repository, and beside it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.repositories import busy, commit, contents, git, repository


PROGRAM = """
import sys
from pathlib import Path
from harness.elsewhere.trees import tree_of
for _ in range(int(sys.argv[2])):
    with tree_of(Path(sys.argv[1]), "v1~1", "touch made") as tree:
        (tree.top / "net.py").read_text()
"""


@dataclass(frozen=True)
class TreeKill:
    """What one kill left.

    Args:
        untouched: whether the user's repository is byte by byte as before.
        rooms: trees that were left.
        works: whether the next run ended well.
        left: trees that this one has left.
    """

    untouched: bool
    rooms: int
    works: bool
    left: int


def user(folder: Path) -> Path:
    """Make a repository with a submodule, in the middle of its user's work."""
    inner = repository(folder / "inner", {"inner.py": "1"})
    outer = repository(folder / "outer", {"net.py": "1"})
    git(outer, "submodule", "--quiet", "add", str(inner), "lib")
    commit(outer, {f"data/{number}": str(number) for number in range(200)})
    commit(outer, {"net.py": "2"})
    return busy(outer)


def tree_kills(folder: Path, count: int, number: int) -> Iterator[TreeKill]:
    """Kill processes that check out and remove trees, with the git that they started or without.

    Args:
        folder: an empty one.
        count: kills.
        number: seed of the moments.
    """
    moments, root, cache = random.Random(number), user(folder), folder / "cache"
    before = contents(root)
    for index in range(count):
        process = _start(root, cache, 1000)
        while not rooms(cache):
            time.sleep(0.001)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.3))
        os.kill(-process.pid if index % 2 else process.pid, signal.SIGKILL)
        process.wait()
        untouched, left = contents(root) == before, len(rooms(cache))
        works = _start(root, cache, 1).wait() == 0
        yield TreeKill(untouched and contents(root) == before, left, works, len(rooms(cache)))


def _start(root: Path, cache: Path, times: int) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", PROGRAM, str(root), str(times)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def rooms(cache: Path) -> list[Path]:
    """Return the trees that are there."""
    return [path for path in cache.glob("training-regression/*/trees/*") if path.is_dir()]


def tree_table(found: Sequence[TreeKill]) -> str:
    """Return what the kills left as Markdown."""
    rows = [
        "| kills | of the user's changed | left a tree | next run fails | left a tree then |",
        "|---|---|---|---|---|",
        f"| {len(found)} | {sum(not kill.untouched for kill in found)} | {sum(kill.rooms > 0 for kill in found)} | "
        f"{sum(not kill.works for kill in found)} | {sum(kill.left > 0 for kill in found)} |",
    ]
    return "\n".join(rows)
