"""What the workers of pytest-xdist have in common: trainings, each run once, and room to train in."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from harness.errors import OutputWriteError
from harness.files import write


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record import Record
    from harness.states import States

__all__ = ["Alone", "Shared"]

_POLL_SECONDS = 0.05

Trained = tuple["Record", "States | None"]
"""A training's record, and the states that it kept on its way, if it was to."""


class Alone:
    """One process, which has the machine and its files to itself."""

    def trained(self, recipe: "Recipe", device: str, train: Callable[[], Trained]) -> Trained:
        """Return a training's record and states.

        Args:
            recipe: of the training.
            device: of the training.
            train: called if nobody has trained it yet.

        Raises:
            OutputWriteError: workers cannot lock each other out.
        """
        return train()

    def guarded(self, name: str) -> AbstractContextManager[None]:
        """Keep other workers out of some files for a block.

        Raises:
            OutputWriteError: workers cannot lock each other out.
        """
        return contextlib.nullcontext()

    def room(self, device: str) -> AbstractContextManager[None]:
        """Wait until the machine has room for one more training: one a core, since each takes a thread; one a GPU.

        Raises:
            OutputWriteError: workers cannot lock each other out.
        """
        return contextlib.nullcontext()


class Shared(Alone):
    """Workers of one session, which pass trainings on through files.

    A worker that waits for another's training waits at a lock, which the system opens if that worker dies.

    Args:
        folder: of this session and no other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def trained(self, recipe: "Recipe", device: str, train: Callable[[], Trained]) -> Trained:
        """As for `Alone`; a training that fails is tried by the next worker, too, so that each test can say why."""
        if not (name := _name(recipe, device)):
            return train()
        with self.guarded(name):
            if self._record(name).exists():
                return self._read(name)
            trained = train()
            self._write(name, *trained)
            return trained

    @contextlib.contextmanager
    def guarded(self, name: str) -> Iterator[None]:
        """As for `Alone`."""
        with self._one_of([name]):
            yield

    @contextlib.contextmanager
    def room(self, device: str) -> Iterator[None]:
        """As for `Alone`."""
        slots = (os.cpu_count() or 1) if device == "cpu" else 1
        with self._one_of([f"{device}-{slot}" for slot in range(slots)]):
            yield

    @contextlib.contextmanager
    def _one_of(self, names: list[str]) -> Iterator[None]:
        """Hold one of several locks for a block; if all are taken, wait for one."""
        locks = [FileLock(self._folder / f"{name}.lock") for name in names]
        try:
            lock = _first_free(locks)
        except OSError as error:
            raise OutputWriteError(path=self._folder, reason=error.strerror or error) from error
        try:
            yield
        finally:
            lock.release()

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _states(self, name: str) -> Path:
        return self._folder / f"{name}.states"

    def _read(self, name: str) -> Trained:
        from harness.record import Record
        from harness.states import States

        record = Record.from_text(self._record(name).read_text(encoding="utf-8"))
        states = self._states(name)
        return record, States.from_bytes(states.read_bytes()) if states.exists() else None

    def _write(self, name: str, record: "Record", states: "States | None") -> None:
        """Leave a training for the other workers; where it finds no room, they train for themselves."""
        with contextlib.suppress(OSError):
            if states is not None:
                write(self._states(name), states.to_bytes())
            write(self._record(name), record.to_text().encode())


def _first_free(locks: list[FileLock]) -> FileLock:
    """Take a lock that nobody holds; if all are held, wait until one is not."""
    while True:
        for lock in locks:
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=_POLL_SECONDS)
                return lock


def _name(recipe: "Recipe", device: str) -> str:
    """Return what every worker calls a training, or nothing: a model that is a lambda or an object has no name."""
    place = _place(recipe.model)
    if not place or "<" in f"{recipe.model_name}{place}":  # <lambda>, <locals>, <string>
        return ""
    return f"{recipe.digest}-{device}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


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
