"""What happens on a worker: a job is one test's run in a process of its own, which hands out the records it checks."""

import functools
import json
import multiprocessing
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import msgspec

from harness import scratch
from harness.elsewhere.rerun import Reruns
from harness.explaining.files_read import noted
from harness.record.gate import Gate
from harness.workers.facts import digest, facts


FOLDER = "{folder}"
"""Stands in arguments for the folder of what a job leaves."""
_VARIABLE = "HARNESS_ERRAND"
_OUTPUT_LINES = 15
_NOTHING: Mapping[str, str] = {}
End = Literal["passed", "failed", "skipped", "xfailed", "foreign", "absent", "unable", "lost"]


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a test checks, with what it says of it (`training_regression.check`, `check_ranks`).

    Args:
        name: tells several records of one test apart.
        record: its text.
        seconds: that the training took.
        of_recipe: whether a recipe was trained.
        stateful: whether the test asked for states of the baseline.
        gate: what the test lets go.
        sources: files that the record depends on, from the project's root.
        ranks: texts of the ranks that the record was merged from, where a single process says what they should do.
        single: text of its record; empty where the baseline says so.
    """

    name: str
    record: str
    seconds: float
    of_recipe: bool
    stateful: bool
    gate: Gate
    sources: Sequence[str]
    ranks: Sequence[str] = ()
    single: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job.

    Args:
        end: of the test, or why it did not run: the worker is foreign, has no such test, cannot begin, or was lost.
        text: what pytest says of a test that did not pass; why a worker cannot begin; the last lines of a lost job.
        cause: of a test that failed, in a line.
        checks: the records, in order.
        recipes: trainings of recipes, as workers of one machine leave them for each other: file to content.
        read: files that the project's code read, or did not find, with what they hold; imported ones, too.
        alone: whether the test started no process, whose files nobody would know.
        worker: name of the machine.
        facts: of a foreign worker.
    """

    end: End
    text: str = ""
    cause: str = ""
    checks: Sequence[Handed] = ()
    recipes: Mapping[str, bytes] = {}
    read: Mapping[str, str] = {}
    alone: bool = False
    worker: str = ""
    facts: Mapping[str, str] = {}

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an answer."""
        return msgspec.msgpack.decode(data, type=cls)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One test's run.

    Args:
        test: its id.
        root: of the project, which lies at the same place on every worker.
        directory: that pytest is started in.
        arguments: of pytest; `FOLDER` in them stands for the folder of what the job leaves.
        facts: what stands for all that the worker must have in common (`facts.digest`).
        cifar10: where CIFAR-10 is; empty for nowhere.
    """

    test: str
    root: str
    directory: str
    arguments: Sequence[str]
    facts: str
    cifar10: str

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a job."""
        return msgspec.msgpack.decode(data, type=cls)


class Errand:
    """What a process was sent to do: to run one test, and to leave its answer.

    Args:
        test: its id.
        folder: of what it leaves.
    """

    def __init__(self, test: str, folder: Path) -> None:
        self.test, self.folder = test, folder
        self.checks: list[Handed] = []
        self._children: object = None

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return this process's errand, or None in an ordinary session."""
        given = os.environ.get(_VARIABLE)
        return cls(json.loads(given)[0], Path(json.loads(given)[1])) if given else None

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells another process."""
        return {_VARIABLE: json.dumps([self.test, str(self.folder)])}

    @property
    def _answer(self) -> Path:
        return self.folder / "answer"

    @property
    def recipes(self) -> Path:
        """Folder of the recipes that were trained."""
        return self.folder / "recipes"

    def begin(self) -> None:
        """Note from now on which files the test reads, and whether it starts processes that read others."""
        noted()
        self._children = _ended_children()

    @property
    def is_alone(self) -> bool:
        """Whether the test has started no process since, whose files nobody would know."""
        return self._children == _ended_children() and not multiprocessing.active_children()

    def leave(self, end: End, text: str, cause: str, read: Mapping[str, str], *, alone: bool) -> None:
        """Leave the answer."""
        kinds = (".json", ".states", ".test")
        recipes = {file.name: file.read_bytes() for file in sorted(self.recipes.glob("*")) if file.suffix in kinds}
        answer = Answer(
            end=end,
            text=text,
            cause=cause,
            checks=self.checks,
            recipes=recipes,
            read=read,
            alone=alone,
            worker=socket.gethostname(),
        )
        self._answer.write_bytes(answer.to_bytes())

    def collect(self, output: str) -> bytes:
        """Return the answer that another process left, or that it was lost, with the last lines that it printed."""
        if self._answer.exists():
            return self._answer.read_bytes()
        lines = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
        return Answer(end="lost", text=lines, worker=socket.gethostname()).to_bytes()


def _ended_children() -> object:
    """Return what changes as soon as a child of this process has ended; nobody knows what that one has read."""
    try:
        import resource
    except ImportError:  # on Windows
        return object()
    return resource.getrusage(resource.RUSAGE_CHILDREN)


class Worker:
    """Does jobs, one after the other; from one to the next it keeps the process that they are copies of."""

    def __init__(self) -> None:
        self._reruns: dict[tuple[str, ...], Reruns] = {}

    def work(self, data: bytes) -> bytes:
        """Do a job; return its answer, whatever happens: a session waits for it."""
        try:
            return self._done(Job.from_bytes(data))
        except Exception as error:  # no room for its folder, say
            return Answer(end="unable", text=str(error), worker=socket.gethostname()).to_bytes()

    def _done(self, job: Job) -> bytes:
        found = facts(Path(job.root), job.cifar10)
        if digest(found) != job.facts:
            return Answer(end="foreign", facts=found, worker=socket.gethostname()).to_bytes()
        with scratch.folder() as folder:
            errand = Errand(job.test, folder)
            errand.recipes.mkdir()
            return errand.collect(self._runs(job).start(folder, errand.variables))

    def _runs(self, job: Job) -> Reruns:
        key = (job.directory, *job.arguments)
        if key not in self._reruns:

            def arguments(folder: Path) -> list[str]:
                return [argument.replace(FOLDER, str(folder)) for argument in job.arguments]

            self._reruns[key] = Reruns(Path(job.directory), arguments, "pytest")
        return self._reruns[key]

    def close(self) -> None:
        """End the processes."""
        for reruns in self._reruns.values():
            reruns.close()


@functools.cache
def _own() -> Worker:
    return Worker()


def work(job: bytes) -> bytes:
    """Do a job in this process, which may get others after it; return its answer."""
    return _own().work(job)
