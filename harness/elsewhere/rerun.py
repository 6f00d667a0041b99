"""Run a test's training again in a process of its own."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING, Any, Self

import msgspec

from harness import scratch
from harness.elsewhere.endings import ending
from harness.elsewhere.imports import foreign_code
from harness.elsewhere.repository import environment
from harness.errors import FaultError, RecordError, RerunError
from harness.explaining.traced import Traced
from harness.record import Record
from harness.recording.perturbation import Perturbation, Reran, Rerun, Taken, perturbed
from harness.recording.step_times import taken
from harness.recording.unseeded import watched


if TYPE_CHECKING:
    from harness.explaining.tracing import Tracing
    from harness.faults import Planting
    from harness.recording.states import States

FORKS = str(Path(__file__).with_name("forks.py"))
"""The script that runs pytest with this harness."""
_VARIABLE = "HARNESS_RERUN"
_OUTPUT_LINES = 15
_PIPES: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": PIPE, "stderr": STDOUT, "errors": "replace"}
"""A debugger that --pdb would start must not wait for input."""
_NOTHING: Mapping[str, str] = {}
_ENDED = "ended\n"
"""What the prepared process (forks.py) says when a run has ended."""


@dataclass(frozen=True)
class Effect:
    """What became of a perturbation in the trainings of a block.

    Args:
        planting: of the fault; None for none.
        draws: what drew random numbers without a seed, if that was looked for.
        tracing: their trace, if one is taken.
    """

    planting: "Planting | None" = None
    draws: Sequence[str] = ()
    tracing: "Tracing | None" = None

    @property
    def is_planted(self) -> bool:
        """Whether the fault took effect in any training, whatever became of that."""
        return self.planting is not None and self.planting.is_planted

    def outcome(self, record: Record) -> tuple[bool, str]:
        """Return whether the fault took effect in a record's training, and if not, why; without one, the draws.

        Raises:
            FaultError: planting the fault raised an exception.
        """
        return self.planting.outcome(record) if self.planting else (False, ", ".join(self.draws))

    def traced(self, record: Record) -> Traced | None:
        """Return the trace of a record's training, if one was taken."""
        return self.tracing.of(record) if self.tracing else None

    def failure(self, error: BaseException) -> FaultError | None:
        """Return what it means for the fault that a training ended with an exception; None without a fault."""
        return self.planting.failure(error) if self.planting else None


@contextlib.contextmanager
def in_force(perturbation: Perturbation, fault: str, tracing: "Tracing | None" = None) -> Iterator[Effect]:
    """Perturb the trainings of a block, and plant a fault in them or trace them.

    Args:
        perturbation: what recorders change.
        fault: name of a standard fault; empty for none.
        tracing: takes their trace; None for none.

    Yields:
        What becomes of it.

    Raises:
        FaultError: the block ended with an exception, and there is a fault.
    """
    from harness.faults import Planting  # here: it imports torch

    planting = Planting(fault) if fault else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(perturbed(dataclasses.replace(perturbation, plant=planting or tracing)))
        if tracing:
            stack.enter_context(tracing.building())
        draws = stack.enter_context(watched()) if perturbation.watches_draws else ()
        effect = Effect(planting, draws, tracing)
        try:
            yield effect
        except Exception as error:
            if failure := effect.failure(error):
                raise failure from error
            raise


@dataclass(frozen=True)
class Assignment:
    """What a process that reruns a test has to do.

    Args:
        test: its id.
        name: which of its records is wanted.
        perturbation: what recorders change.
        fault: what is planted; empty for nothing.
        folder: where the record goes, and where the states to put back are, if there are any.
        traces: whether a trace is wanted.
        step: of the divergence that the trace is to explain; None for the trace that a baseline keeps.
    """

    test: str
    name: str
    perturbation: Perturbation
    fault: str
    folder: Path
    traces: bool = False
    step: int | None = None

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return this process's assignment, or None in an ordinary session."""
        return cls.read(Path(os.environ[_VARIABLE])) if _VARIABLE in os.environ else None

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the assignment that another process has written."""
        content = json.loads(file.read_text(encoding="utf-8"))
        perturbation, folder = Perturbation(**content.pop("perturbation")), Path(content.pop("folder"))
        return cls(**content, perturbation=perturbation, folder=folder)

    def write(self) -> Path:
        """Write the assignment for another process; return its file."""
        self.file.write_text(json.dumps({**dataclasses.asdict(self), "folder": str(self.folder)}), encoding="utf-8")
        return self.file

    @property
    def file(self) -> Path:
        """The file that another process reads it from."""
        return self.folder / "assignment.json"

    @property
    def _record(self) -> Path:
        return self.folder / "record.json"

    @property
    def _outcome(self) -> Path:
        return self.folder / "outcome.json"

    @property
    def _trace(self) -> Path:
        return self.folder / "trace.json"

    def hand_in(self, record: Record, outcome: tuple[bool, str], traced: Traced | None = None) -> None:
        """Leave the record, what became of the fault, the trace and the cost for the session that asked.

        Raises:
            TreeError: the training ran code that is not of the tree that this process was to run in.
        """
        if foreign := foreign_code():
            raise foreign
        cost = taken(record)
        if traced:
            self._trace.write_bytes(msgspec.json.encode(traced))
        judged = dataclasses.replace(record, pictures={}, histograms={}, confusion=())  # packing pictures takes seconds
        self._record.write_text(judged.to_text(), encoding="utf-8")
        self._outcome.write_text(json.dumps([*outcome, cost]), encoding="utf-8")

    @property
    def _failure(self) -> Path:
        return self.folder / "failure.json"

    def give_up(self, failure: FaultError) -> None:
        """Leave word that the training ended with an exception; a record that was handed in before counts."""
        self._failure.write_text(json.dumps(vars(failure)), encoding="utf-8")

    def collect(self) -> Reran:
        """Read what another process handed in.

        Raises:
            FaultError: its training ended with an exception while a fault was to be planted in it.
            OSError: it handed in nothing.
            RecordError: it was cut off.
        """
        if self._failure.exists() and not self._outcome.exists():
            raise FaultError(**json.loads(self._failure.read_text(encoding="utf-8")))
        record = Record.from_text(self._record.read_text(encoding="utf-8"))
        planted, reason, cost = json.loads(self._outcome.read_text(encoding="utf-8"))
        traced = msgspec.json.decode(self._trace.read_bytes(), type=Traced) if self._trace.exists() else None
        return Reran(record, (planted, reason), traced, Taken(*cost))

    def states(self) -> "States | None":
        """Return the states to put back, if there are any."""
        from harness.recording.states import States

        path = self.folder / "states"
        return States.from_bytes(path.read_bytes()) if path.exists() else None


class Reruns:
    """Runs tests again, in processes of their own.

    Args:
        directory: where the runner is started; of another commit's tree, if the test is to run there.
        arguments: returns the runner's arguments for a run whose own files go to a folder.
        module: the runner, which `python -m` starts.
        variables: what its processes need beside those of this one (`Tree.variables`).
        python: the interpreter (`Tree.python`).
    """

    def __init__(
        self,
        directory: Path,
        arguments: Callable[[Path], Sequence[str]],
        module: str,
        variables: Mapping[str, str] = _NOTHING,
        python: str = sys.executable,
    ) -> None:
        self._directory = directory
        self._arguments = arguments
        self._module = module
        self._variables = variables
        self._python = python
        self._prepared: dict[tuple[tuple[str, str], ...], subprocess.Popen[str]] = {}

    def run(self, test: str, name: str, how: Rerun) -> Reran:
        """Run a test again and return the record that it checks.

        Args:
            test: its id.
            name: which of its records is wanted.
            how: what is different.

        Raises:
            RerunError: the process left no record; a FaultError if it could say what its fault has to do with that.
        """
        with scratch.folder() as folder:
            if how.states:
                (folder / "states").write_bytes(how.states.to_bytes())
            assignment = Assignment(test, name, how.perturbation, how.fault, folder, how.traces, how.step)
            variables = {**how.environment, _VARIABLE: str(assignment.write())}
            output = self.start(folder, variables, tuple(sorted(how.environment.items())))
            try:
                return assignment.collect()
            except (OSError, ValueError, RecordError) as error:
                lines = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
                raise RerunError.failed(change=how.text, nodeid=test, output=lines) from error

    def close(self) -> None:
        """End the processes that copies are made of."""
        while self._prepared:
            self._prepared.popitem()[1].communicate()  # closes its input, and waits

    def start(self, folder: Path, variables: Mapping[str, str], chosen: tuple[tuple[str, str], ...] = ()) -> str:
        """Start the runner, without touching this session's files; return its output.

        Args:
            folder: of what it leaves.
            variables: of its own.
            chosen: those of them that Python or torch read when they start.
        """
        arguments, environment = [*self._arguments(folder)], {**own_variables(), **self._variables, **variables}
        rare = any(
            name != "PYTHONHASHSEED" for name, _ in chosen
        )  # few trainings ask for it, and each process takes room
        if rare or not hasattr(os, "fork"):
            command = [self._python, "-P", FORKS, self._module, *arguments]
            run = subprocess.run(command, cwd=self._directory, env=environment, check=False, **_PIPES)
            return str(run.stdout)
        output = folder / "output.txt"
        request = {"arguments": arguments, "directory": str(self._directory), "variables": environment}
        printed = self._request(json.dumps({**request, "output": str(output)}), chosen)
        return output.read_text(encoding="utf-8", errors="replace") if output.exists() else printed

    def _request(self, request: str, chosen: tuple[tuple[str, str], ...]) -> str:
        """Have a copy of a prepared process do something, and wait for it; return what that process itself printed.

        There is one for each choice of variables that Python or torch read when they start.
        """
        if chosen not in self._prepared:
            command = [self._python, "-P", FORKS, self._module]
            environment, pipes = {**own_variables(), **self._variables, **dict(chosen)}, {**_PIPES, "stdin": PIPE}
            self._prepared[chosen] = subprocess.Popen(command, cwd=self._directory, env=environment, **pipes)
        process = self._prepared[chosen]
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        with contextlib.suppress(BrokenPipeError):  # it has died: what it printed says why
            process.stdin.write(request + "\n")
            process.stdin.flush()
        printed: list[str] = []
        for line in process.stdout:
            if line == _ENDED:
                return "".join(printed)
            printed.append(line)
        self._prepared.pop(chosen).communicate()
        if process.returncode < 0:
            printed.append(f"the process that runs are copies of: {ending(process.returncode)}\n")
        return "".join(printed)


def own_variables() -> dict[str, str]:
    """Return this process's variables but for git's and xdist's: they would make another process believe in them.

    Nor does it note which lines run: what only a rerun does, no test has done.
    """
    left_out = ("PYTEST_XDIST", "HARNESS_RUNNING")
    return {name: value for name, value in environment().items() if not name.startswith(left_out)}
