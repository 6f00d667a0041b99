"""The state of one pytest session: where things are, what was trained, what was compared."""

import json
import os
import re
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import DevicePrecisionError, NoCifar10Error, RemoteBaselineError
from harness.files import write
from harness.plugin.counts import Counts
from harness.plugin.locks import own_folder
from harness.plugin.outcome import Outcome
from harness.plugin.rerun import Assignment, Rerun, Reruns, command_line
from harness.plugin.runs import Runs
from harness.variation import varied


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record import Record
    from harness.states import States

__all__ = ["SESSION", "Session", "Training"]


@dataclass(frozen=True)
class Training:
    """A recipe's training in this session.

    Args:
        recipe: what was trained.
        device: on what.
        record: what it did.
        states: those that were kept on its way, of a low-precision training that becomes a baseline.
    """

    recipe: "Recipe"
    device: str
    record: "Record"
    states: "States | None"


class Session:
    """Paths, trainings and counts of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.counts = Counts()
        self.started = time.time()
        self.output = config.rootpath / "build" / "harness"
        self.outcome = Outcome(config, self.output, self.counts)
        self.assignment = Assignment.from_environment()
        self.reruns = Reruns(config)
        self._trainings: dict[tuple[Recipe, str], Training] = {}
        self.runs = Runs()

    @property
    def comparing_figures(self) -> bool:
        """Whether pytest-mpl compares figures in this session."""
        return bool(self.config.getoption("--mpl", False))

    @property
    def strict(self) -> bool:
        """Whether drift fails: under pytest's own --strict, an ini option since pytest 9."""
        try:
            return bool(self.config.getini("strict"))
        except ValueError:
            return bool(self.config.getoption("strict", False))

    @property
    def seeds(self) -> int:
        """Seeds that trainings are judged by, or 0: a training is compared with its baseline, number by number."""
        return int(self.config.getoption("--equivalence") or 0)

    @property
    def measures_power(self) -> bool:
        """Whether standard faults are planted in every training."""
        option = self.config.getoption
        return bool(option("--gate-power")) or option("--gate-power-min") is not None

    @property
    def least_power(self) -> float:
        """Share of the planted faults that has to be caught."""
        return float(self.config.getoption("--gate-power-min") or 0.0)

    @property
    def only_missing(self) -> bool:
        """Whether existing baselines stay as they are while others are written."""
        return bool(self.config.getoption("--only-missing"))

    @property
    def generate_path(self) -> Path | None:
        """Folder that this session writes baselines to, or None if it compares."""
        path = getattr(self.config.option, "training_generate_path", None)
        return Path(path) if path else None

    @property
    def baselines(self) -> Path:
        """Folder of the baselines: pytest-mpl's, if it is given, or ours; ini paths are relative to the root."""
        if self.generate_path:
            return self.generate_path
        option = self.config.getoption("--mpl-baseline-path", None)
        if option and re.match("https?://", option):
            raise RemoteBaselineError(path=option)
        if option:
            return Path(option).absolute()
        ini = self.config.getini("training_baselines") or self._ini("mpl-baseline-path") or "baselines"
        return self.config.rootpath / ini

    def _ini(self, name: str) -> str:
        """Return an ini option of pytest-mpl, if it is there and no URL."""
        if not self.config.pluginmanager.hasplugin("pytest_mpl"):
            return ""
        value = str(self.config.getini(name) or "")
        return "" if re.match("https?://", value) else value

    @property
    def failed(self) -> Path:
        """Folder of the results that differ from their baselines."""
        return self.output / "failed"

    @cached_property
    def figures(self) -> Path:
        """Folder of pytest-mpl's pictures; a worker has it from the session that started it."""
        if hasattr(self.config, "workerinput"):
            return Path(self.config.workerinput["training_regression_figures"])
        return own_folder(self.output / "figures", self.config.add_cleanup)

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Where the results of this session come from; asked before the first baseline is written."""
        from harness.provenance import command_text, provenance

        arguments, here = command_line(self.config)
        reason = str(self.config.getoption("--training-reason") or "")
        return provenance(self.config.rootpath, command_text("pytest", arguments, Path(here)), reason)

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard runs."""
        option = self.config.getoption("--tensorboard")
        return Path(option).absolute() if option else self.output / "tensorboard"

    @property
    def history(self) -> Path | None:
        """File with the margins of past runs, if they are kept."""
        if option := self.config.getoption("--training-history"):
            return Path(option).absolute()
        ini = self.config.getini("training_history")
        return self.config.rootpath / ini if ini else None

    @property
    def cifar10(self) -> str | None:
        """Where CIFAR-10 is, from the command line, the environment or the ini file."""
        if given := self.config.getoption("--cifar10") or os.environ.get("HARNESS_CIFAR10"):
            return str(given)
        ini: str = self.config.getini("cifar10")
        return str(self.config.rootpath / ini) if ini and ini != "download" else ini or None

    def finish(self) -> None:
        """Write the report and what `harness list` reads; what cannot be written is named in the summary."""
        if self.assignment or hasattr(self.config, "workerinput"):
            return
        self.outcome.finish()
        if self.counts.claimed:
            with self.outcome.noted():
                self._remember()

    def _remember(self) -> None:
        """Leave for `harness list` where the baselines are, and which of them no test claims, if that is known."""
        orphans = self.counts.orphans if self.counts.whole else None
        content = {"baselines": os.path.relpath(self.baselines, self.config.rootpath), "orphans": orphans}
        self.output.mkdir(parents=True, exist_ok=True)
        write(self.output / "session.json", json.dumps(content).encode())

    def shown(self, path: Path) -> Path:
        """Return a path as people here would type it: relative to where pytest was started, if below it."""
        here = self.config.invocation_params.dir
        return path.relative_to(here) if path.is_relative_to(here) else path

    def header(self) -> list[str]:
        """Say what this session compares with what."""
        data = f"CIFAR-10 from {self.cifar10}" if self.cifar10 else "no CIFAR-10 (--cifar10=PATH)"
        return [f"training regression: {self._doing()}; data: embedded synthetic set, {data}"]

    def _doing(self) -> str:
        if self.generate_path:
            return f"writing baselines to {self.shown(self.generate_path)}"
        return "comparing records " + ("and figures" if self.comparing_figures else "but not figures (no --mpl)")

    def train(self, recipe: "Recipe", device: str) -> "Record":
        """Return the record of a recipe on a device, training it if this session has not yet."""
        key = (recipe, device)
        if key not in self._trainings:
            states = self._states(recipe)
            self._trainings[key] = Training(recipe, device, self._train(recipe, device, states), states)
        return self._trainings[key].record

    def _states(self, recipe: "Recipe") -> "States | None":
        """Return states to put back into a training, or to fill, if this session has a use for them."""
        if self.assignment:
            return self.assignment.states()
        return self.states_to_fill() if recipe.precision != "float64" else None

    def states_to_fill(self) -> "States | None":
        """Return states for a training to fill if its record is to become a baseline."""
        from harness.states import States

        return States() if self.generate_path else None

    def training_of(self, record: "Record") -> Training | None:
        """Return the training of a recipe that a record came from, or None if it is a watched loop's."""
        return next((training for training in self._trainings.values() if training.record is record), None)

    def retrain(self, training: Training, how: Rerun, text: str) -> "Record":
        """Train a recipe again in this process and return the record.

        Args:
            training: to be run again.
            how: what is different.
            text: that, in words.
        """
        from harness.plugin.progress import Progress
        from harness.training import train

        recipe, device = training.recipe, training.device
        with varied(how.variation), Progress(self.config, f"{recipe.title}, {text}", recipe.num_steps) as progress:
            return train(recipe, device, cifar10=self.cifar10, progress=progress, states=how.states)

    def _train(self, recipe: "Recipe", device: str, states: "States | None") -> "Record":
        from harness.plugin.progress import Progress
        from harness.training import train

        title = f"{recipe.title}, {recipe.data}, {recipe.precision}, {device}"
        try:
            with Progress(self.config, title, recipe.num_steps) as progress:
                record = train(recipe, device, cifar10=self.cifar10, progress=progress, states=states)
        except (NoCifar10Error, DevicePrecisionError) as error:
            pytest.skip(str(error))
        if self.assignment:
            return record
        name = f"{record.name}-{recipe.data}-{recipe.precision}-{device}-{recipe.digest}"
        self.publish(record, re.sub(r"[^\w.-]", "_", name).lstrip("."))
        return record

    def publish(self, record: "Record", name: str) -> None:
        """Write a record's TensorBoard run, once, and count its training."""
        if self.runs.write(record, self.tensorboard / name, labelled=bool(self.config.getoption("--tensorboard"))):
            from harness.report import training_line

            self.counts.trainings.append(training_line(record))
            self.counts.seconds += record.seconds


SESSION = pytest.StashKey[Session]()
