"""The state of one pytest session: what it was asked for, what was trained, what was compared."""

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import DevicePrecisionError, NoCifar10Error
from harness.files import write
from harness.plugin.counts import Counts
from harness.plugin.outcome import Outcome
from harness.plugin.rerun import Assignment, Rerun, Reruns
from harness.plugin.runs import Runs
from harness.plugin.settings import Settings
from harness.plugin.shared import Alone, Shared
from harness.plugin.trainings import Training, Trainings
from harness.variation import varied


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record import Record
    from harness.states import States

__all__ = ["SESSION", "Session"]


class Session(Settings):
    """What one pytest session was asked for, and what it did."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.counts = Counts()
        self.started = time.time()
        self.outcome = Outcome(config, self.output, self.counts)
        self.assignment = Assignment.from_environment()
        self.reruns = Reruns(config)
        is_worker = hasattr(config, "workerinput") and not self.assignment
        self.workers = Shared(self.shared) if is_worker else Alone()
        self.runs = Runs(self.workers, labelled=bool(config.getoption("--tensorboard")))
        self.trainings = Trainings(lambda: self.shared)

    @property
    def shared(self) -> Path:
        """Folder of what the processes of this session leave for each other, and for later."""
        return self.outcome.kept / "trainings"

    def finish(self) -> None:
        """Write the report and what `harness list` reads; what cannot be written is named in the summary."""
        if self.assignment or hasattr(self.config, "workerinput"):
            return
        self.outcome.finish()
        if self.counts.claimed and not self.config.option.collectonly:
            with self.outcome.noted():
                self._remember()

    def _remember(self) -> None:
        """Leave for `harness list` where the baselines are, and which of them no test claims, if that is known."""
        orphans = self.counts.orphans if self.counts.whole else None
        content = {"baselines": os.path.relpath(self.baselines, self.config.rootpath), "orphans": orphans}
        self.output.mkdir(parents=True, exist_ok=True)
        write(self.output / "session.json", json.dumps(content).encode())

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
        name = re.sub(r"[^\w.-]", "_", f"{recipe.title}-{recipe.data}-{recipe.precision}-{device}-{recipe.digest}")
        run = name.lstrip(".")
        training = self.trainings.get(recipe, device)
        if training is None:
            record, states = self.workers.trained(recipe, device, lambda: self._train(recipe, device, run))
            training = Training(recipe, device, record, states)
            self.trainings.add(training)
        record = training.record
        self.runs.adopt(record, self.tensorboard / run)
        return record

    def _states(self, recipe: "Recipe") -> "States | None":
        """Return states to put back into a training, or to fill, if this session has a use for them."""
        if self.assignment:
            return self.assignment.states()
        return self.states_to_fill() if recipe.precision != "float64" else None

    def states_to_fill(self) -> "States | None":
        """Return states for a training to fill if its record is to become a baseline."""
        from harness.states import States

        return States() if self.generate_path else None

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

    def _train(self, recipe: "Recipe", device: str, run: str) -> "tuple[Record, States | None]":
        from harness.plugin.progress import Progress
        from harness.training import train

        title, states = f"{recipe.title}, {recipe.data}, {recipe.precision}, {device}", self._states(recipe)
        try:
            with self.workers.room(device), Progress(self.config, title, recipe.num_steps) as progress:
                record = train(recipe, device, cifar10=self.cifar10, progress=progress, states=states)
        except (NoCifar10Error, DevicePrecisionError) as error:
            pytest.skip(str(error))
        if not self.assignment:
            self.publish(record, run)
        return record, states

    def publish(self, record: "Record", name: str) -> None:
        """Write a record's TensorBoard run, once, and count its training."""
        if self.runs.write(record, self.tensorboard / name):
            from harness.report import training_line

            self.counts.trainings.append(training_line(record))
            self.counts.seconds += record.seconds


SESSION = pytest.StashKey[Session]()
