"""One record that a test checks: which file its baseline is, and how its training is run again."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.baselines.environments import Choice, beside, nearest
from harness.baselines.store import baseline_name, load_baseline, load_states
from harness.plugin import devices
from harness.plugin.session import Session, check_of
from harness.record import Baseline
from harness.recording.perturbation import Reran, Rerun


if TYPE_CHECKING:
    from harness.baselines.environments import Choice
    from harness.record import Record
    from harness.recording.states import States
    from harness.report.check import Check


@dataclass(frozen=True)
class RecordCheck:
    """A record in the hands of `training_regression.check`.

    Args:
        item: the test.
        session: the session's state.
        record: what is checked.
        name: tells several records of one test apart.
        filled: states that a watched loop's recorder was given.
        chosen: the baseline that they are of, if it has been chosen.
    """

    item: pytest.Item
    session: Session
    record: "Record"
    name: str
    filled: "States | None" = None
    chosen: Choice | None = None

    @property
    def shared_path(self) -> Path:
        """File of the baseline that is stored for all environments."""
        return baseline_path(self.item, self.session, self.name)

    @cached_property
    def choice(self) -> Choice | None:
        """Which of the stored baselines a low-precision record is held against; None without one, and in float64.

        Raises:
            BaselineError: one of them is broken.
        """
        if not self._is_low_precision:
            return None
        return self.chosen or choice(self.item, self.session, self.name, self.record.environment)

    @property
    def _is_low_precision(self) -> bool:
        return self.record.is_low_precision

    @property
    def is_elsewhere(self) -> bool:
        """Whether a low-precision record is held against the baseline of another environment."""
        return self.choice is not None and not self.choice.is_of(self.record.environment)

    @property
    def is_others(self) -> bool:
        """Whether that baseline is one of another environment alone, which no result of this one may replace."""
        return self.is_elsewhere and self.path != self.shared_path

    @property
    def chosen_text(self) -> str:
        """The choice in words; empty where there is no need to say."""
        return self.choice.text(self.record.environment) if self.choice else ""

    @property
    def path(self) -> Path:
        """File of the baseline: one for all environments, or in low precision that of the nearest.

        Raises:
            BaselineError: one that is to be chosen from is broken.
        """
        if self.session.generate_path:
            return self._own_path if self._has_own else self.shared_path
        return self.choice.path if self.choice else self.shared_path

    @property
    def _own_path(self) -> Path:
        return beside(self.shared_path, self.record.environment)

    @property
    def _has_own(self) -> bool:
        """Whether the baseline that is written is that of this environment alone."""
        if not self._is_low_precision:
            return False
        return self._own_path.exists() or (self.session.adds_environment and self.is_elsewhere)

    @property
    def run(self) -> str:
        """Name of what is written about this record alone: each device has its own."""
        return f"{self.shared_path.stem}-{self.record.device}"

    @property
    def pictures(self) -> Path:
        """Folder of the pictures that are drawn if the record differs from its baseline."""
        return self.session.output / "pictures" / self.run

    @property
    def accept(self) -> str:
        """The command line that makes this run the baseline."""
        return regenerate_command(self.item, self.session)

    @property
    def check(self) -> "Check":
        """What is the same in every result of this check."""
        return check_of(self.item, self.name, self.accept)

    def baseline(self) -> Baseline:
        """Read the baseline.

        Raises:
            BaselineError: it is missing or broken.
        """
        if self.choice:
            return self.choice.baseline
        return load_baseline(self.path, self.accept, self.session.shown(self.path))

    def stored_states(self, baseline: Baseline) -> "States | None":
        """Read the states of a calibrated baseline; others have none.

        Raises:
            BaselineCorruptError: they are missing or broken.
        """
        if not baseline.calibration:
            return None
        return load_states(self.path, baseline, self.accept, self.session.shown(self.path))

    def kept_states(self) -> "States | None":
        """Return the states that this training kept on its way, if it is in low precision and could keep any."""
        training = self.session.trainings.of(self.record)
        states = training.states if training else self.filled
        return states if states and states.steps and self._is_low_precision else None

    @property
    def is_recipes(self) -> bool:
        """Whether the record came from `training(recipe)`, so that a rerun needs no process of its own."""
        return self.session.trainings.of(self.record) is not None

    def rerun(self, how: Rerun) -> Reran:
        """Run the training again: a recipe in this process if that will do, a watched loop in another.

        Raises:
            RerunError: it came to no end.
        """
        training = self.session.trainings.of(self.record)
        with self.session.workers.room(self.record.device):
            if training and not how.environment:
                return self.session.retrain(training, how)
            return self.session.reruns.run(self.item.nodeid, self.name, how)


def baseline_path(item: pytest.Item, session: Session, name: str) -> Path:
    """Return the file of one of a test's baselines."""
    stem = baseline_name(item.nodeid, devices.device_of(item)) + (f",{baseline_name(name)}" if name else "")
    return session.baselines / f"{stem}.json"


def choice(item: pytest.Item, session: Session, name: str, environment: Mapping[str, str]) -> Choice | None:
    """Choose from the stored baselines that of the nearest environment.

    Raises:
        BaselineError: one of them is broken.
    """
    path = baseline_path(item, session, name)
    return nearest(path, environment, regenerate_command(item, session), session.shown(path))


def regenerate_command(item: pytest.Item, session: Session) -> str:
    """Return the command line that makes this run of one test its baseline, from where pytest was started."""
    path, colons, test = item.nodeid.partition("::")
    place = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    words = ["pytest", f"{place}{colons}{test}", f"--mpl-generate-path={session.shown(session.baselines)}"]
    device, cifar10 = devices.device_of(item), item.config.getoption("--cifar10")
    if device and device != devices.writer(item.config):
        words.append(f"--device={device}")
    if cifar10:
        words.append(f"--cifar10={cifar10}")
    return shlex.join(words)
