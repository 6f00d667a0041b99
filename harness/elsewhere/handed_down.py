"""A perturbation that is handed down to processes which a test starts (ranks, scripts), and what they tell of it.

It goes by this process's environment: a child that is started without it trains as it is written, and tells nothing.
"""

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from harness.atomic_files import write
from harness.elsewhere.rerun import Assignment, Effect, in_force
from harness.errors import FaultError, RanksError
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


class Effects:
    """What became of a perturbation in the trainings of a block, and in those of processes that were started in it.

    Args:
        assigned: what this process was asked to do.
        own: what became of it in this process.
    """

    def __init__(self, assigned: Assignment, own: Effect) -> None:
        self._assigned, self._own = assigned, own
        self._merged: dict[str, set[str]] = {}

    @property
    def _words(self) -> list[_Word]:
        files = sorted(self._assigned.folder.glob(f"*{_KIND}"))
        return [msgspec.json.decode(file.read_bytes(), type=_Word) for file in files]

    def stands_for(self, merged: Record, records: Collection[Record]) -> None:
        """Take note that a record is that of several ranks: what took effect in any of them did in it."""
        self._merged[_digest(merged)] = {_digest(record) for record in records}

    def _of(self, record: Record) -> list[_Word]:
        """Return what other processes told of a record's training: of several, where ranks did the same."""
        words = self._words
        digests = self._merged.get(digest := _digest(record), {digest}) if words else ()
        return [word for word in words if word.digest in digests]

    def outcome(self, record: Record) -> tuple[bool, str]:
        """Return what became of the fault in a record's training; see `Effect`.

        Raises:
            FaultError: planting the fault raised an exception, which the training survived.
        """
        words = self._of(record)
        for raised in filter(None, (word.raised for word in words)):
            raise FaultError(**raised)
        return max((word.outcome for word in words), default=None) or self._own.outcome(record)

    def traced(self, record: Record) -> Traced | None:
        """Return the trace of a record's training, of ranks of the first, if one was taken."""
        return next((word.traced for word in self._of(record) if word.traced), None) or self._own.traced(record)

    def failure(self, error: BaseException) -> FaultError | None:
        """Return what it means for the fault that a test ended with an exception; None without a fault."""
        words = self._words if self._assigned.fault else []
        if raised := next((word.raised for word in words if word.raised), None):
            return FaultError(**raised)
        planted = any(word.outcome[0] for word in words)
        if planted and not isinstance(error, RanksError):  # which the machine may be to blame for: it says who died
            return FaultError.broken(fault=self._assigned.fault, error=error)
        return self._own.failure(error)


@contextlib.contextmanager
def perturbed_as(assigned: Assignment, root: Path) -> Iterator[Effects]:
    """Perturb the trainings of a block as it was assigned, and those of processes that are started in it.

    Args:
        assigned: how.
        root: of the project, whose lines a trace names.

    Yields:
        What becomes of it.
    """
    how, given = f"{__name__}:{obey.__name__}", {"file": str(assigned.file), "root": str(root)}
    with obey(**given, session=os.getpid()) as own, obeyed_by_children(how, **given):
        yield Effects(assigned, own)


@contextlib.contextmanager
def obey(file: str, root: str, session: int) -> Iterator[Effect]:
    """Perturb the trainings of a block, in a session or in a process that it started.

    Args:
        file: of the assignment.
        root: of the project.
        session: id of the process that is told what became of it.

    Yields:
        What becomes of it in this process.
    """
    if not (place := Path(file)).exists():  # a server that a test has started outlives what was asked
        yield Effect()
        return
    from harness.explaining.tracing import Tracing

    assigned, is_first = Assignment.read(place), os.environ.get("RANK", "0") == "0"
    tracing = Tracing(Path(root), step=assigned.step) if assigned.traces and is_first else None
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

    def end(self, record: Record, built: Mapping[str, Any]) -> None:
        """Pass on, and keep the record."""
        self.record = record
        if self._planted:
            self._planted.end(record, built)


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
