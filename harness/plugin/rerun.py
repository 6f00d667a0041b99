"""Run one test's training again, varied: here for recipes, in a pytest process of its own for watched loops."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from harness.errors import RecordError, RerunError
from harness.record import Record
from harness.variation import Variation


if TYPE_CHECKING:
    from harness.states import States

__all__ = ["Assignment", "command_line", "rerun_test"]

_VARIABLE = "HARNESS_RERUN"
_OUTPUT_LINES = 15
_OVERRIDES = ("--maxfail=0", "--tb=short", "--color=no")


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
        self.record.write_text(record.to_text(), encoding="utf-8")
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


def rerun_test(
    item: pytest.Item,
    name: str,
    variation: Variation,
    environment: Mapping[str, str],
    states: "States | None",
    text: str,
) -> Record:
    """Run a test in a process of its own and return the record that it checks.

    Args:
        item: the test.
        name: which of its records is wanted.
        variation: how the training is varied.
        environment: variables of the process, beside those of this one.
        states: to put back into the training.
        text: the variation in words.

    Raises:
        RerunError: the process left no record.
    """
    folder = Path(tempfile.mkdtemp(prefix="training-regression-"))
    try:
        if states:
            (folder / "states").write_bytes(states.to_bytes())
        assignment = Assignment(item.nodeid, name, variation, folder)
        result = _run(item.config, folder, {**environment, _VARIABLE: str(assignment.write())})
        try:
            return assignment.collect()
        except (OSError, RecordError) as error:
            lines = "\n".join(result.stdout.splitlines()[-_OUTPUT_LINES:])
            raise RerunError(variation=text, nodeid=item.nodeid, output=lines) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def command_line(config: pytest.Config) -> tuple[list[str], str]:
    """Return the arguments that pytest was started with, and where; a worker has them from its controller."""
    if hasattr(config, "workerinput"):
        args, directory = config.workerinput["training_regression"]
        return args, directory
    return [*map(str, config.invocation_params.args)], str(config.invocation_params.dir)


def _run(config: pytest.Config, folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Start pytest as this session was started, in a process that cannot touch this session's files."""
    args, directory = command_line(config)
    overrides = [*_OVERRIDES, f"--basetemp={folder / 'tmp'}", "-o", f"cache_dir={folder / 'cache'}"]
    if config.pluginmanager.hasplugin("xdist"):
        overrides.append("-n0")
    if config.getoption("xmlpath", None):
        overrides.append(f"--junit-xml={folder / 'junit.xml'}")
    # a worker's own marks would make the process believe that it is one
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *args, *overrides],
        cwd=directory,
        stdin=subprocess.DEVNULL,  # a debugger that --pdb would start must not wait
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
