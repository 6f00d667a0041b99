"""What is handed down to processes that a test starts (ranks, scripts): a perturbation, states; what they tell of it.

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

    from harness.explaining.building import Building
    from harness.recording.states import States

_KIND = ".told"
"""How the files of what is told end."""


class _Word(msgspec.Struct, frozen=True):
    """What one training tells; its record's digest is empty if it came to no end."""

    digest: str
    outcome: tuple[bool, str]
    raised: dict[str, Any] | None = None
    traced: Traced | None = None
    states: bytes = b""  # that it was to fill
    rank: int = 0


class Effects:
    """What became of what was handed down, in the trainings of a block and in processes that were started in it.

    Args:
        assigned: what this process was asked to do.
        root: of the project, whose lines a trace names.
        own: what became of it in this process.
    """

    def __init__(self, assigned: Assignment, root: Path, own: Effect) -> None:
        self._assigned, self._root, self._own = assigned, root, own
        self._merged: dict[str, set[str]] = {}
        self._told: dict[Path, _Word] = {}

    @property
    def _words(self) -> Collection[_Word]:
        for file in sorted(self._assigned.folder.glob(f"*{_KIND}")):
            if file not in self._told:
                self._told[file] = msgspec.json.decode(file.read_bytes(), type=_Word)
        return self._told.values()

    def hand_down(self, states: "States | None" = None) -> contextlib.AbstractContextManager[None]:
        """Return what hands down, to processes that are started in a block, what was assigned.

        Args:
            states: that trainings fill, or are put back on, if they take any.
        """
        given = {"file": str(self._assigned.file), "root": str(self._root), "states": ""}
        if states is not None:
            file = self._assigned.folder / f"{uuid4().hex}.states"
            file.write_bytes(states.to_bytes())
            given["states"] = str(file)
        return obeyed_by_children(f"{__name__}:{obey.__name__}", **given)

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

    def states(self, record: Record) -> "States | None":
        """Return the states that a record's training has filled in other processes, if each of them could keep some."""
        from harness.recording.states import States

        told = dict[int, bytes]()
        for word in self._of(record):
            told[word.rank] = told.get(word.rank) or word.states
        filled = told and all(told.values())
        return States.of_ranks([States.from_bytes(told[rank]) for rank in sorted(told)]) if filled else None

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
def perturbed_as(assigned: Assignment, root: Path, building: "Building | None" = None) -> Iterator[Effects]:
    """Perturb the trainings of a block as it was assigned, and those of processes that are started in it.

    Args:
        assigned: how.
        root: of the project, whose lines a trace names.
        building: has noted who built what before; None if nobody has.

    Yields:
        What becomes of it.
    """
    with obey(str(assigned.file), str(root), session=os.getpid(), building=building) as own:
        effects = Effects(assigned, root, own)
        with effects.hand_down():
            yield effects


@contextlib.contextmanager
def obey(file: str, root: str, session: int, states: str = "", building: "Building | None" = None) -> Iterator[Effect]:
    """Perturb the trainings of a block, in a session or in a process that it started.

    Args:
        file: of the assignment.
        root: of the project.
        session: id of the process that is told what became of it.
        states: file of those that trainings fill, or are put back on; empty for none.
        building: as of `perturbed_as`.

    Yields:
        What becomes of it in this process.
    """
    if not (place := Path(file)).exists():  # a server that a test has started outlives what was asked
        yield Effect()
        return
    from harness.explaining.tracing import Tracing

    assigned, handed = Assignment.read(place), Path(states).read_bytes() if states else b""
    is_traced = assigned.traces and not _rank()
    tracing = Tracing(Path(root), step=assigned.step, building=building) if is_traced else None
    with (
        in_force(assigned.perturbation, assigned.fault, tracing) as effect,
        perturbed(replace(current(), plant=_Telling(effect, assigned.folder, session, handed))),
    ):
        yield effect


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


class _Telling:
    """Plants what an effect is of; in another process than the session's, each training tells what became of it."""

    def __init__(self, effect: Effect, folder: Path, session: int, states: bytes) -> None:
        self._effect, self._folder, self._session, self._states = effect, folder, session, states

    def __call__(self, stack: contextlib.ExitStack) -> Planted | None:
        plant = self._effect.planting or self._effect.tracing
        planted = plant(stack) if plant else None
        if os.getpid() == self._session:
            return planted
        telling = _Training(planted, self._own_states())
        stack.enter_context(perturbed(replace(current(), states=telling.states)))
        stack.callback(self._tell, telling)
        return telling

    def _own_states(self) -> "States | None":
        """Return states for one training of this rank."""
        from harness.recording.states import States

        return States.from_bytes(self._states).of_rank(_rank()) if self._states else None

    def _tell(self, training: "_Training") -> None:
        word = _word(self._effect, training)
        if self._folder.exists():  # else the session has not waited
            write(self._folder / f"{uuid4().hex}{_KIND}", msgspec.json.encode(word))


class _Training:
    """Passes on what a recorder tells, and keeps its record, and the states that it is to fill."""

    def __init__(self, planted: Planted | None, states: "States | None") -> None:
        self._planted, self.states = planted, states
        self._fills = states is not None and states.collects
        self.record: Record | None = None

    @property
    def filled(self) -> bytes:
        """The states that it has filled; empty where it was to fill none, or could keep none."""
        return self.states.to_bytes() if self.states and self._fills and self.states.steps else b""

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


def _word(effect: Effect, training: _Training) -> _Word:
    """Return what there is to tell of a training; of one without a record, whether the fault was planted in any."""
    record, rank = training.record, _rank()
    try:
        if record is None:
            return _Word("", (effect.is_planted, ""), rank=rank)
        traced, states = effect.traced(record), training.filled
        return _Word(_digest(record), effect.outcome(record), traced=traced, states=states, rank=rank)
    except FaultError as error:
        return _Word(_digest(record) if record else "", (False, ""), vars(error), rank=rank)


def _digest(record: Record) -> str:
    """Return what tells a training's record from others, wherever it is read again."""
    return hashlib.sha256(repr(sorted(record.streams.items())).encode()).hexdigest()
