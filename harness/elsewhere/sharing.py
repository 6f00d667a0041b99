"""What processes on one machine have in common: trainings that were run once, folders, and room to train in."""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from harness.atomic_files import write
from harness.errors import OutputError


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record.record import Record
    from harness.recording.states import States


_POLL_SECONDS = 0.05

Trained = tuple["Record", "States | None", str]
"""A training's record, the states that it kept on its way, if it was to, and the test during which it ran."""


class Sharing:
    """What a process shares with the other workers of its session: trainings and room, through files and locks.

    A worker that waits for another's training waits at a lock, which the system opens if that worker dies.

    Args:
        folder: of this session and no other; None for a process that is alone.

    Raises:
        OutputError: workers cannot lock each other out; by each method.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def trained(self, recipe: "Recipe", device: str, train: Callable[[], Trained], code: str = "") -> Trained:
        """Return a training that another worker has run by the same code (its fingerprint), or run it.

        One that fails is tried by the next worker, too, so that each test can say why.
        """
        name = _name(recipe, device, code)
        if not (self._folder and name):
            return train()
        record, states, test = (self._folder / f"{name}.{kind}" for kind in ("json", "states", "test"))
        with self.guarded(name):
            if record.exists():
                return _read(record, states, test)
            trained = train()
            with contextlib.suppress(OSError):  # where it finds no room, the others train for themselves
                if trained[1] is not None:
                    write(states, trained[1].to_bytes())
                write(test, trained[2].encode("utf-8", "surrogatepass"))
                write(record, trained[0].to_text().encode())
            return trained

    def guarded(self, name: str) -> AbstractContextManager[None]:
        """Keep other workers out of some files for a block."""
        return self._one_of([name])

    def room(self, device: str) -> AbstractContextManager[None]:
        """Wait until the machine has room for one more training: one a core, since each takes a thread; one a GPU."""
        slots = (os.cpu_count() or 1) if device == "cpu" else 1
        return self._one_of([f"{device}-{slot}" for slot in range(slots)])

    @contextlib.contextmanager
    def _one_of(self, names: list[str]) -> Iterator[None]:
        """Hold one of several locks for a block; if all are taken, wait for one."""
        if self._folder is None:
            yield
            return
        try:
            lock = _first_free([FileLock(self._folder / f"{name}.lock") for name in names])
        except OSError as error:
            raise OutputError.of(path=self._folder, reason=error) from error
        try:
            yield
        finally:
            lock.release()


def _read(record: Path, states: Path, test: Path) -> Trained:
    from harness.record import Record
    from harness.recording.states import States

    kept = States.from_bytes(states.read_bytes()) if states.exists() else None
    asked = test.read_bytes().decode("utf-8", "surrogatepass")
    return Record.from_text(record.read_text(encoding="utf-8")), kept, asked


def _first_free(locks: list[FileLock]) -> FileLock:
    """Take a lock that nobody holds; if all are held, wait until one is not."""
    while True:
        for lock in locks:
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=_POLL_SECONDS)
                return lock


def _name(recipe: "Recipe", device: str, code: str) -> str:
    """Return what every worker calls a training, or nothing: a model that is a lambda or an object has no name."""
    place = _place(recipe.model)
    if not place or "<" in f"{recipe.model_name}{place}":  # <lambda>, <locals>, <string>
        return ""
    return f"{recipe.digest}-{device}-{hashlib.sha256(f'{place} {code}'.encode()).hexdigest()[:12]}"


def _place(model: object) -> str:
    """Return where a model is defined: functions and classes of one name may stand in two files, or twice in one.

    Of functions that a decorator or a loop makes from the same lines, only the one that is found under its name counts.
    """
    if isinstance(model, str):
        return model
    function = vars(model).get("__init__") if isinstance(model, type) else model
    if not isinstance(function, FunctionType) or _found(function.__globals__, model) is not model:
        return ""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def _found(module: Mapping[str, object], model: object) -> object:
    """Return what stands under a model's name in the module where it, or its __init__, was written."""
    first, *others = str(getattr(model, "__qualname__", "")).split(".")
    return functools.reduce(lambda place, name: getattr(place, name, None), others, module.get(first))


def own_folder(folder: Path, cleanup: Callable[[Callable[[], None]], None]) -> Path:
    """Return a folder, or one beside it if another session has it now.

    The lock is among the temporary files: a project that has no test of ours is left as it is. Where none can be made,
    sessions share the folder.

    Args:
        folder: wanted.
        cleanup: takes what is to be called when the session ends.
    """
    key = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir(), f".training-regression-{key}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return folder.with_name(f"{folder.name}-{os.getpid()}")
    except OSError:
        return folder
    cleanup(lock.release)
    return folder
