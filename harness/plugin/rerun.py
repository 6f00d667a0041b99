"""Run one test's training again, varied: here for recipes, in a pytest process of its own for watched loops."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING, Any, Self

import pytest

from harness.errors import RecordError, RerunFailedError
from harness.record import Record
from harness.variation import Variation


if TYPE_CHECKING:
    from harness.states import States

__all__ = ["Assignment", "Rerun", "Reruns", "command_line"]

_VARIABLE = "HARNESS_RERUN"
_OUTPUT_LINES = 15
_PIPES: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": PIPE, "stderr": STDOUT, "errors": "replace"}
"""A debugger that --pdb would start must not wait for input."""
_ENDED = "ended\n"
"""What the prepared process (forks.py) says when a run has ended."""
_OVERRIDES = ("--maxfail=0", "--tb=short", "--color=no", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The warning is of modules that the prepared process has imported, under filterwarnings = error."""


@dataclass(frozen=True)
class Rerun:
    """What is different when a training is run again; by default nothing is.

    Args:
        variation: how it is varied.
        environment: variables that have to be set before torch is imported.
        states: to put back into it.
    """

    variation: Variation = field(default_factory=Variation)
    environment: Mapping[str, str] = field(default_factory=dict)
    states: "States | None" = None


@dataclass(frozen=True)
class Assignment:
    """What a process that reruns a test has to do.

    Args:
        nodeid: the test.
        name: which of its records is wanted.
        variation: how the training is varied.
        folder: where the record goes, and where the states to put back are, if there are any.
    """

    nodeid: str
    name: str
    variation: Variation
    folder: Path

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return this process's assignment, or None in an ordinary session."""
        if _VARIABLE not in os.environ:
            return None
        content = json.loads(Path(os.environ[_VARIABLE]).read_text(encoding="utf-8"))
        variation = Variation(**content["variation"])
        return cls(content["nodeid"], content["name"], variation, Path(content["folder"]))

    def write(self) -> Path:
        """Write the assignment for another process; return its file."""
        path = self.folder / "assignment.json"
        path.write_text(json.dumps({**dataclasses.asdict(self), "folder": str(self.folder)}), encoding="utf-8")
        return path

    @property
    def record(self) -> Path:
        """File of the record."""
        return self.folder / "record.json"

    def hand_in(self, record: Record) -> None:
        """Leave the record, and what became of a fault that was to be planted, for the session that asked."""
        judged = dataclasses.replace(record, pictures={}, histograms={}, confusion=())  # packing pictures takes seconds
        self.record.write_text(judged.to_text(), encoding="utf-8")
        self._fault.write_text(json.dumps(record.fault), encoding="utf-8")

    def collect(self) -> Record:
        """Read what another process handed in.

        Raises:
            OSError: it handed in nothing.
            RecordError: it was cut off.
        """
        record = Record.from_text(self.record.read_text(encoding="utf-8"))
        fault = json.loads(self._fault.read_text(encoding="utf-8"))
        return dataclasses.replace(record, fault=fault and tuple(fault))

    @property
    def _fault(self) -> Path:
        return self.folder / "fault.json"

    def states(self) -> "States | None":
        """Return the states to put back, if there are any."""
        from harness.states import States

        path = self.folder / "states"
        return States.from_bytes(path.read_bytes()) if path.exists() else None


class Reruns:
    """Runs tests again, in processes of their own.

    Args:
        config: of the session.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._forks: subprocess.Popen[str] | None = None

    def run(self, nodeid: str, name: str, how: Rerun, text: str) -> Record:
        """Run a test again and return the record that it checks.

        Args:
            nodeid: the test.
            name: which of its records is wanted.
            how: what is different.
            text: that, in words.

        Raises:
            RerunFailedError: the process left no record.
        """
        folder = Path(tempfile.mkdtemp(prefix="training-regression-"))
        try:
            if how.states:
                (folder / "states").write_bytes(how.states.to_bytes())
            assignment = Assignment(nodeid, name, how.variation, folder)
            variables = {**how.environment, _VARIABLE: str(assignment.write())}
            output = self._start(folder, variables, fresh=bool(how.environment))
            try:
                return assignment.collect()
            except (OSError, ValueError, RecordError) as error:
                lines = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
                raise RerunFailedError(variation=text, nodeid=nodeid, output=lines) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the process that copies are made of."""
        if self._forks:
            self._forks.communicate()  # closes its input, and waits
            self._forks = None

    def _start(self, folder: Path, variables: Mapping[str, str], fresh: bool) -> str:
        """Run pytest as this session was started, without touching this session's files; return its output."""
        args, directory = command_line(self._config)
        args = [*args, *_overrides(self._config, folder)]
        if fresh or not hasattr(os, "fork"):
            command = [sys.executable, "-m", "pytest", *args]
            environment = {**_inherited(), **variables}
            run = subprocess.run(command, cwd=directory, env=environment, check=False, **_PIPES)
            return str(run.stdout)
        output = folder / "output.txt"
        request = {"args": args, "variables": dict(variables), "output": str(output)}
        printed = self._request(directory, json.dumps(request))
        return output.read_text(encoding="utf-8", errors="replace") if output.exists() else printed

    def _request(self, directory: str, request: str) -> str:
        """Have a copy of a prepared process do something, and wait for it; return what that process itself printed."""
        if self._forks is None:
            command = [sys.executable, "-P", str(Path(__file__).with_name("forks.py"))]
            self._forks = subprocess.Popen(command, cwd=directory, env=_inherited(), **{**_PIPES, "stdin": PIPE})
        assert self._forks.stdin is not None, "it is a pipe"
        assert self._forks.stdout is not None, "it is a pipe"
        with contextlib.suppress(BrokenPipeError):  # it has died: what it printed says why
            self._forks.stdin.write(request + "\n")
            self._forks.stdin.flush()
        printed: list[str] = []
        for line in self._forks.stdout:
            if line == _ENDED:
                return "".join(printed)
            printed.append(line)
        self.close()
        return "".join(printed)


def command_line(config: pytest.Config) -> tuple[list[str], str]:
    """Return the arguments that pytest was started with, and where; a worker has them from its controller."""
    if hasattr(config, "workerinput"):
        args, directory = config.workerinput["training_regression"]
        return args, directory
    return [*map(str, config.invocation_params.args)], str(config.invocation_params.dir)


def _overrides(config: pytest.Config, folder: Path) -> list[str]:
    """Return what keeps a rerun's files apart from this session's."""
    overrides = [*_OVERRIDES, f"--basetemp={folder / 'tmp'}"]
    if config.pluginmanager.hasplugin("cacheprovider"):
        overrides += ["-o", f"cache_dir={folder / 'cache'}"]
    if config.pluginmanager.hasplugin("xdist"):
        overrides.append("-n0")
    if config.getoption("xmlpath", None):
        overrides.append(f"--junit-xml={folder / 'junit.xml'}")
    return overrides


def _inherited() -> dict[str, str]:
    """Return this process's variables but for xdist's: a worker's own would make another process believe it is one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
