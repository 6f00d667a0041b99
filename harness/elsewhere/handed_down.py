"""A perturbation that is handed down to processes which a test starts (scripts, launchers), and what they tell of it.

It goes by this process's environment: a child that is started without it trains as it is written, and tells nothing.
"""

import atexit
import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from harness.atomic_files import write
from harness.elsewhere.rerun import Assignment, Effect, in_force
from harness.errors import FaultError
from harness.explaining.traced import Traced
from harness.record import Record
from harness.recording.perturbation import Planted, current, obeyed_by_children, perturbed


if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

_KIND = ".told"
"""How the files of what is told end."""


class _Word(msgspec.Struct, frozen=True):
    """What one training tells; its record's digest is empty if it came to no end."""

    digest: str
    outcome: tuple[bool, str]
    raised: dict[str, Any] | None = None
    traced: Traced | None = None


class Told:
    """What processes that this one has started told of their trainings.

    Args:
        assigned: what this process was asked to do.
    """

    def __init__(self, assigned: Assignment) -> None:
        self._assigned = assigned

    @property
    def _words(self) -> list[_Word]:
        files = sorted(self._assigned.folder.glob(f"*{_KIND}"))
        return [msgspec.json.decode(file.read_bytes(), type=_Word) for file in files]

    def of(self, record: Record) -> tuple[tuple[bool, str], Traced | None] | None:
        """Return what became of the fault in a record's training, and its trace; None if nobody told of it.

        Raises:
            FaultError: planting the fault raised an exception, which the training survived.
        """
        words = self._words
        found = next((word for word in words if word.digest == _digest(record)), None) if words else None
        if found and found.raised:
            raise FaultError(**found.raised)
        return (found.outcome, found.traced) if found else None

    def failure(self, error: BaseException) -> FaultError | None:
        """Return what it means for the fault that a test ended with an exception; None if nobody told of one."""
        words = self._words if self._assigned.fault else []
        if raised := next((word.raised for word in words if word.raised), None):
            return FaultError(**raised)
        planted = any(word.outcome[0] for word in words)
        return FaultError.broken(fault=self._assigned.fault, error=error) if planted else None


@contextlib.contextmanager
def perturbed_as(assigned: Assignment, root: Path) -> Iterator[Effect]:
    """Perturb the trainings of a block as it was assigned, and those of processes that are started in it.

    Args:
        assigned: how.
        root: of the project, whose lines a trace names.

    Yields:
        What becomes of it in this process.
    """
    with _in_force(assigned, root, os.getpid()) as effect:
        how, given = f"{__name__}:{obey.__name__}", {"file": str(assigned.file), "root": str(root)}
        with obeyed_by_children(how, **given):
            yield effect


def obey(file: str, root: str, session: int) -> None:
    """Perturb the trainings of this process until it ends, as another that started it was assigned.

    Args:
        file: of the assignment.
        root: of the project.
        session: id of the process that is told what became of it.
    """
    if not (place := Path(file)).exists():  # a server that a test has started outlives what was asked
        return
    stack = contextlib.ExitStack()
    stack.enter_context(_in_force(Assignment.read(place), Path(root), session))
    atexit.register(stack.close)


@contextlib.contextmanager
def _in_force(assigned: Assignment, root: Path, session: int) -> Iterator[Effect]:
    from harness.explaining.tracing import Tracing

    is_first = os.environ.get("RANK", "0") == "0"
    tracing = Tracing(root, step=assigned.step) if assigned.traces and is_first else None
    with (
        in_force(assigned.perturbation, assigned.fault, tracing) as effect,
        perturbed(replace(current(), plant=_Telling(effect, assigned.folder, session))),
    ):
        yield effect


class _Telling:
    """Plants what an effect is of; in another process than the session's, each training tells what became of it."""

    def __init__(self, effect: Effect, folder: Path, session: int) -> None:
        self._effect, self._folder, self._session = effect, folder, session

    def __call__(self, stack: contextlib.ExitStack) -> Planted | None:
        plant = self._effect.planting or self._effect.tracing
        planted = plant(stack) if plant else None
        if os.getpid() == self._session:
            return planted
        telling = _Training(planted)
        stack.callback(self._tell, telling)
        return telling

    def _tell(self, training: "_Training") -> None:
        word = _word(self._effect, training.record)
        if self._folder.exists():  # else the session has not waited
            write(self._folder / f"{uuid4().hex}{_KIND}", msgspec.json.encode(word))


class _Training:
    """Passes on what a recorder tells, and keeps its record."""

    def __init__(self, planted: Planted | None) -> None:
        self._planted = planted
        self.record: Record | None = None

    def watch(self, model: "nn.Module", optimizer: "Optimizer | None") -> None:
        """Pass on."""
        if self._planted:
            self._planted.watch(model, optimizer)

    def batch(self, images: object, labels: object) -> None:
        """Pass on."""
        if self._planted:
            self._planted.batch(images, labels)

    def end(self, record: Record, optimizers: "Mapping[str, list[Optimizer]]") -> None:
        """Pass on, and keep the record."""
        self.record = record
        if self._planted:
            self._planted.end(record, optimizers)


def _word(effect: Effect, record: Record | None) -> _Word:
    """Return what there is to tell of a training; of one without a record, whether the fault was planted in any."""
    try:
        if record is None:
            return _Word("", (effect.is_planted, ""))
        return _Word(_digest(record), effect.outcome(record), traced=effect.traced(record))
    except FaultError as error:
        return _Word(_digest(record) if record else "", (False, ""), vars(error))


def _digest(record: Record) -> str:
    """Return what tells a training's record from others, wherever it is read again."""
    return hashlib.sha256(repr(sorted(record.streams.items())).encode()).hexdigest()
