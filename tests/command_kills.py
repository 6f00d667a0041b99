"""Kills of commands that train at other commits: what is left of the user's repository, and what the next run does."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.projects import loop_test
from tests.repositories import busy, contents, repository
from tests.tree_kills import rooms


TEST = loop_test(loss="loop.loss_of(model(inputs))", steps=2, imports="import loop")
LOOP = "def loss_of(outputs):\n    return outputs.{}().mean()\n"
HARNESS = [sys.executable, "-c", "import sys; from harness.commands import main; sys.exit(main())"]
COMMANDS: Mapping[str, Sequence[str]] = {
    "pytest --training-against": [sys.executable, "-m", "pytest", "-q", "--training-against=v1~3"],
    "harness compare": [*HARNESS, "compare", "v1~3", "v1"],
    "harness explain": [*HARNESS, "explain", "--against", "v1~3", "test_loop.py::test_loop"],
    "harness bisect": [*HARNESS, "bisect", "v1~3", "v1"],
}
"""The training of the first of four commits against that of the last, or of the present tree: each ends with 1."""
_IN_A_ROW = 5
"""Runs that are killed before one may end."""


@dataclass(frozen=True)
class CommandKill:
    """What one kill left.

    Args:
        command: that was killed.
        ended: whether it had ended before.
        untouched: whether the user's files, and all of git's, are byte by byte as before.
        rooms: trees that were left.
        works: whether the next run found what the first one did; None if it was killed, too.
        left: trees that this one has left, if it was not.
    """

    command: str
    ended: bool
    untouched: bool
    rooms: int
    works: bool | None
    left: int


def _user(folder: Path) -> Path:
    """Make a project whose training changes in the third of four commits, in the middle of its user's work."""
    ini, nothing = "[pytest]\npythonpath = .\naddopts = -p no:cacheprovider\n", {".gitignore": "build/\n"}
    first = {"test_loop.py": TEST, "loop.py": LOOP.format("square"), "pytest.ini": ini, "net.py": "1", **nothing}
    return busy(repository(folder, first, {"net.py": "2"}, {"loop.py": LOOP.format("abs")}, {"net.py": "3"}))


def command_kills(folder: Path, count: int, number: int) -> Iterator[CommandKill]:
    """Kill each command, alone or with all that it has started, and start it again; every fifth time it may end.

    What was kept is taken away before every other of these.

    Args:
        folder: an empty one.
        count: kills of each command.
        number: seed of the moments.
    """
    moments, root, cache = random.Random(number), _user(folder / "project"), folder / "cache"
    before = _contents(root)
    for name, command in COMMANDS.items():
        shutil.rmtree(cache / "training-regression", ignore_errors=True)
        seconds = [_seconds(command, root, cache) for _ in range(2)]  # with nothing kept, and with all
        for index in range(count):
            anew = index // _IN_A_ROW % 2
            if anew and not index % _IN_A_ROW:
                shutil.rmtree(cache / "training-regression")
            process = _start(command, root, cache)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0, seconds[1 - anew]))
            ended = process.poll() is not None
            _kill(process, with_others=index % 4 > 1)
            untouched, left = _contents(root) == before, len(rooms(cache))
            works, still = None, 0
            if index % _IN_A_ROW == _IN_A_ROW - 1 or index == count - 1:
                works = _start(command, root, cache).wait() == 1
                untouched, still = untouched and _contents(root) == before, len(rooms(cache))
            yield CommandKill(name, ended, untouched, left, works, still)


def _seconds(command: Sequence[str], root: Path, cache: Path) -> float:
    """Return what a command takes that nobody kills."""
    began = time.monotonic()
    status = _start(command, root, cache).wait()
    assert status == 1, f"it ended with {status}: {command}"
    return time.monotonic() - began


def _start(command: Sequence[str], root: Path, cache: Path) -> "subprocess.Popen[bytes]":
    unset = ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS")
    variables = {name: text for name, text in os.environ.items() if name not in unset}
    variables |= {"XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen(command, cwd=root, env=variables, start_new_session=True, **pipes)


def _kill(process: "subprocess.Popen[bytes]", *, with_others: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(-process.pid if with_others else process.pid, signal.SIGKILL)
    process.wait()


def _contents(root: Path) -> dict[str, object]:
    """Return digests of all that is not a session's result."""
    return {name: found for name, found in contents(root).items() if not name.startswith("build")}


def command_table(found: Sequence[CommandKill]) -> str:
    """Return what the kills left as Markdown, a row a command."""
    heads = ("killed", "kills", "of the user's changed", "left a tree", "runs to the end", "of them fail",
             "of them leave a tree", "had ended before")  # fmt: skip
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for command in COMMANDS:
        own = [kill for kill in found if kill.command == command]
        counts = (
            len(own),
            sum(not kill.untouched for kill in own),
            sum(kill.rooms > 0 for kill in own),
            sum(kill.works is not None for kill in own),
            sum(kill.works is False for kill in own),
            sum(kill.left > 0 for kill in own),
            sum(kill.ended for kill in own),
        )
        rows.append(f"| {command} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)
