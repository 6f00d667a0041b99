"""What processes on one machine have in common: trainings, each run once, folders, and room to train in."""

import contextlib
import functools
import hashlib
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from harness.baselines.files import write
from harness.errors import OutputError


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record.record import Record
    from harness.recording.states import States


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
            OutputError: workers cannot lock each other out.
        """
        return train()

    def guarded(self, name: str) -> AbstractContextManager[None]:
        """Keep other workers out of some files for a block.

        Raises:
            OutputError: workers cannot lock each other out.
        """
        return contextlib.nullcontext()

    def room(self, device: str) -> AbstractContextManager[None]:
        """Wait until the machine has room for one more training: one a core, since each takes a thread; one a GPU.

        Raises:
            OutputError: workers cannot lock each other out.
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
            raise OutputError.of(path=self._folder, reason=error) from error
        try:
            yield
        finally:
            lock.release()

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _states(self, name: str) -> Path:
        return self._folder / f"{name}.states"

    def _read(self, name: str) -> Trained:
        from harness.record.record import Record
        from harness.recording.states import States

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


_IN_MEMORY = 4
"""Records that are kept at hand; a suite may have hundreds, of a few megabytes each."""


class Training:
    """A recipe's training in this session.

    Args:
        recipe: what was trained.
        device: on what.
        record: what it did.
        states: those that were kept on its way, of a low-precision training that becomes a baseline.
    """

    def __init__(self, recipe: "Recipe", device: str, record: "Record", states: "States | None") -> None:
        self.recipe, self.device, self.states = recipe, device, states
        self._at_hand: Record | None = record
        self._alive = weakref.ref(record)
        self._file: Path | None = None

    def is_of(self, record: "Record") -> bool:
        """Tell whether a record is this training's, and not an equal one of another."""
        return self._alive() is record

    @property
    def record(self) -> "Record":
        """What the training did; read anew if it was put aside and no test holds it."""
        from harness.record.record import Record

        record = self._alive()
        if record is None:
            assert self._file is not None, "a record that is not at hand was put aside"
            record = Record.from_text(self._file.read_text(encoding="utf-8"))
            self._alive = weakref.ref(record)
        self._at_hand = record
        return record

    def put_aside(self, file: Path) -> None:
        """Free the memory of the record unless a test holds it; where it cannot be written, it stays."""
        from harness.baselines.files import write

        with contextlib.suppress(OSError):
            if self._file is None:
                write(file, self.record.to_text().encode())
                self._file = file
            self._at_hand = None


class Trainings:
    """Every training that this process asked for.

    Args:
        folder: of those that are put aside; asked for when the first one is.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._all: dict[tuple[Recipe, str], Training] = {}  # the latest last

    def get(self, recipe: "Recipe", device: str) -> Training | None:
        """Return the training of a recipe on a device, or None if there was none."""
        training = self._all.pop((recipe, device), None)
        if training:
            self.add(training)
        return training

    def add(self, training: Training) -> None:
        """Keep a training, and put aside the one that was asked for the longest ago."""
        self._all[training.recipe, training.device] = training
        if len(self._all) > _IN_MEMORY:
            oldest = [*self._all.values()][-1 - _IN_MEMORY]
            oldest.put_aside(self._folder() / f"aside-{os.getpid()}-{id(oldest)}.json")  # workers share the folder

    def of(self, record: "Record") -> Training | None:
        """Return the training that a record came from, or None if it is a watched loop's."""
        return next((training for training in self._all.values() if training.is_of(record)), None)
