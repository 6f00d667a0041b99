"""What is kept of other commits: the baselines that their own tests made on this machine, and what became of each."""

import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, Self

import msgspec
from filelock import FileLock, Timeout

from harness.atomic_files import scraps, write
from harness.elsewhere.trees import cache
from harness.errors import TreeError
from harness.record.environment import available_devices, describe, machine


_NOISE = re.compile(
    r"(PYTEST_(?!ADDOPTS)|HARNESS_(?!CIFAR10$)|(OLD)?PWD$|SHLVL$|_$|PS\d$|GITHUB_|RUNNER_|PYTHONPATH$|"
    r"TERM(_PROGRAM.*)?$|COLORTERM$|COLUMNS$|LINES$|WINDOWID$|TMUX(_PANE)?$|STY$|SSH_|DISPLAY$|DBUS_|XDG_(?!DATA)|VSCODE_)"
)
"""Names of variables that no training reads; paths of modules are those of the tree."""
_UNUSED = 30 * 24 * 3600.0
"""Seconds after which what nobody has used is removed."""
Fate = Literal["made", "skipped", "absent", "failed"]


class Tried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a test at another commit, and why not more."""

    fate: Fate
    reason: str = ""


class Notes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the tests of a commit.

    Args:
        tests: id of a test to what became of it.
        gated: ids of all gated tests of the commit; None until somebody collected all of them.
        trainings: how many were trained when the last tests ran there.
        seconds: that they took.
        files: name of each file of the baselines to a digest of it: what is gone, or is another, is made anew.
    """

    tests: dict[str, Tried] = {}
    gated: list[str] | None = None
    trainings: int = 0
    seconds: float = 0.0
    files: dict[str, str] = {}

    def untried(self, tests: Collection[str]) -> list[str]:
        """Return those tests that nothing is known of, or that failed, which may have been the machine's fault."""
        return [test for test in tests if self.tests.get(test, _UNTRIED).fate == "failed"]

    def with_those(self, other: "Notes") -> "Notes":
        """Return these and newer ones."""
        gated = self.gated if other.gated is None else other.gated
        return msgspec.structs.replace(other, tests=self.tests | other.tests, gated=gated)


_UNTRIED = Tried("failed")


@dataclass(frozen=True)
class Kept:
    """What is kept of a commit in one environment, until nobody has used it for thirty days: its baselines, mostly.

    Args:
        folder: that they are in, with notes and a lock.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, commit: str, given: Sequence[str]) -> Self:
        """Return what is kept of a commit, as its tests would run here and now.

        Args:
            root: of the project.
            commit: its whole name.
            given: what else the trainings depend on: options, data.
        """
        around = [_versions(), machine(), *(describe(device) for device in available_devices() if device != "cpu")]
        facts = [*around, own_digest(), *given]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return cls(cache(root) / "kept" / commit / key)

    @classmethod
    def of_code(cls, root: Path, code: str, given: Sequence[str]) -> Self:
        """Return what is kept of trainings by the code of a project, as it is now, beside what is kept of commits.

        Args:
            root: of the project.
            code: what stands for it, and for all that workers have in common.
            given: what else the trainings depend on.
        """
        key = hashlib.sha256(json.dumps([*given]).encode()).hexdigest()[:16]
        return cls(cache(root) / "kept" / f"code-{code[:16]}" / key)

    @property
    def _notes(self) -> Path:
        return self.folder / ".notes.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from making the same baselines for a block; what a killed one left is removed.

        Raises:
            TreeError: the folder cannot be written to.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            self.use()
            lock.acquire()
        except OSError as error:
            raise TreeError.cache(path=self.folder, reason=error) from error
        try:
            for scrap in scraps(self.folder):
                (self.folder / scrap).unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def use(self) -> None:
        """Note that it is used now, and remove all that nobody has used for long; no process does both at once."""
        *_, everything = self.folder.parents[:4]
        everything.mkdir(parents=True, exist_ok=True)
        with FileLock(everything / "lock"):
            self.folder.mkdir(parents=True, exist_ok=True)
            os.utime(self.folder)
            for folder in everything.glob("*/kept/*/*/"):
                if time.time() - folder.stat().st_mtime > _UNUSED:
                    _remove(folder)

    def notes(self) -> Notes:
        """Return what is known; nothing, where that cannot be read, or a file is not what was noted."""
        try:
            notes = msgspec.json.decode(self._notes.read_bytes(), type=Notes)
            return notes if notes.files == self._digests() else Notes()
        except (OSError, msgspec.DecodeError):
            return Notes()

    def note(self, notes: Notes) -> None:
        """Keep notes."""
        write(self._notes, msgspec.json.encode(msgspec.structs.replace(notes, files=self._digests())))

    def require(
        self, tests: Collection[str], make: Callable[[Sequence[str], bool], Notes], *, whole: bool
    ) -> Notes | None:
        """Have those baselines made that are not kept.

        Args:
            tests: ids of the gated tests whose baselines are wanted.
            make: makes those of tests, and is told whether it is to find all gated tests of the commit, too.
            whole: whether these are wanted.

        Returns:
            What was done; None for nothing.

        Raises:
            TreeError: they cannot be made.
        """
        with self.alone():
            notes = self.notes()
            if not notes.tests:
                self.clear()
            wanted = notes.untried(tests)
            if not (wanted or (whole and notes.gated is None)):
                return None
            made = make(wanted, whole)
            self.note(notes.with_those(made))
            return made

    def forget(self, test: str) -> None:
        """Forget what became of a test, so that it is tried again."""
        with self.alone():
            notes = self.notes()
            self.note(msgspec.structs.replace(notes, tests={**notes.tests, test: _UNTRIED}))

    def clear(self) -> None:
        """Remove the baselines, of which nothing is known."""
        for path in self._baselines():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _baselines(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))

    def _digests(self) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self._baselines()}


def _remove(folder: Path) -> None:
    """Remove what is kept, unless a process works there, and the commit's folder with the last of it."""
    with suppress(Timeout, OSError):
        with FileLock(folder / ".lock", blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
        folder.parent.rmdir()


def surroundings() -> str:
    """Return a digest of the environment's variables, any of which a training may read, but for those of terminals."""
    told = sorted(f"{name}={value}" for name, value in os.environ.items() if value and not _NOISE.match(name))
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()


def _versions() -> dict[str, str]:
    installed = {each.name: each.version for each in metadata.distributions()}
    return installed | {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(os.cpu_count()),
    }


def own_digest() -> str:
    """Return a digest of the sources of this harness, which makes the baselines and judges by them."""
    home, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(home.rglob("*.py")):
        digest.update(f"{file.relative_to(home)}\n".encode() + file.read_bytes())
    return digest.hexdigest()
