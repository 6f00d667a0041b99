"""The state of one pytest session: its settings, its report, and the trainings that it runs."""

import contextlib
import json
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness import scratch
from harness.atomic_files import write
from harness.elsewhere.code import Code
from harness.elsewhere.cost import BUDGET
from harness.elsewhere.handed_down import Effects, perturbed_as
from harness.elsewhere.ranks import Ranks
from harness.elsewhere.rerun import Assignment, Reruns, in_force
from harness.elsewhere.sharing import Sharing
from harness.elsewhere.trainings import Training, Trainings
from harness.errors import DevicePrecisionError, FaultError, NoCifar10Error
from harness.plugin.command_line import command_line, from_controller, rerun_arguments
from harness.plugin.options import NO_CIFAR10
from harness.plugin.settings import Settings
from harness.recording.imported import listening
from harness.report.session_report import Counts, SessionReport
from harness.tensorboard.runs import Runs
from harness.workers.worker import Errand


if TYPE_CHECKING:
    from harness.explaining.building import Building
    from harness.recipe import Recipe
    from harness.record.record import Record
    from harness.recording.perturbation import Reran, Rerun
    from harness.recording.states import States
    from harness.report.ledger import Ledger


class Checked(NamedTuple):
    """A record that a test of this session has checked; the baseline's beside it if that is another."""

    record: "weakref.ref[Record]"
    test: str
    baseline: "Record | None"


class Drawn(NamedTuple):
    """A figure whose test asks for records that none has checked yet, and what to do when one does."""

    records: Sequence["weakref.ref[Any]"]
    follow: Callable[[], None]


class Session(Settings):
    """What one pytest session was asked for, and what it did."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.counts = Counts()
        own = time.time()  # a worker's may be later, if it takes the place of one that crashed
        self.started: float = min(own, from_controller(config).get("started", own))
        self.assignment = Assignment.from_environment()
        self.effects: Effects | None = None
        self.errand = Errand.from_environment()
        self.task = self.errand or self.assignment
        """What this process was started for, if another session did."""
        self.report = SessionReport(config.rootpath, self.output, self.counts, self._given_folder(), config.add_cleanup)
        self.ranks = Ranks(is_fresh=self.assignment is not None)
        self.reruns = Reruns(Path(command_line(config)[1]), lambda folder: rerun_arguments(config, folder), "pytest")
        self.workers = Sharing(self._meeting_place())
        self.runs = Runs(self.workers, labelled=bool(config.getoption("--training-tensorboard")))
        self.trainings = Trainings(lambda: self.shared)
        self.code = Code()
        self.checked: list[Checked] = []
        self.drawn: list[Drawn] = []
        self.seconds_for_costs = BUDGET
        self.imported = scratch.new_path(".imported")

    def _given_folder(self) -> Path | None:
        """Return the folder for what this process finds, if the one that started it gave it one."""
        if given := from_controller(self.config):
            return Path(given["kept"])
        return self.task.folder / "kept" if self.task else None  # which goes although this process may be killed

    def _meeting_place(self) -> Path | None:
        """Return the folder where trainings of recipes are left for others, if there are any."""
        if self.errand:
            return self.errand.recipes
        shares = from_controller(self.config) or self.config.getoption("--training-on")
        return self.shared if shares and not self.assignment else None

    def add_checked(self, checked: Checked) -> None:
        """Take note of a record that was checked; figures of it that were compared before follow it now."""
        self.checked.append(checked)
        for figure in self.drawn:
            if any(record() is checked.record() for record in figure.records):
                figure.follow()

    @property
    def shared(self) -> Path:
        """Folder of what the processes of this session leave for each other, and for later."""
        return self.report.kept / "trainings"

    @property
    def ran(self) -> Path:
        """Log of the lines that ran and are looked for (`Running`)."""
        return self.shared / "ran"

    def listen(self) -> None:
        """Have processes that tests train in tell what they import, until the session ends."""
        stack = ExitStack()
        stack.enter_context(listening(self.config.rootpath, self.imported))
        self.config.add_cleanup(stack.close)

    def finish(self, ledger: "Ledger") -> None:
        """Write the report and what `harness list` reads; what cannot be written is named in the summary."""
        scratch.sweep()
        self.report.write(ledger, self.started)
        if self.launched:
            with self.report.noted():
                self._tell_of_ranks()
        if not self.against:
            with self.report.noted():
                self._remember(ledger)

    def _tell_of_ranks(self) -> None:
        """Have the report of the first rank say what became of the others."""
        from harness.report.written import tell_of_ranks

        first = self.output.parent if self.rank else self.output
        told = tell_of_ranks(first, self.launched, self.shown(first).as_posix())
        if told and not self.rank:
            self.report.ledger = told

    def _remember(self, ledger: "Ledger") -> None:
        """Leave for `harness list` where the baselines are, and which of them no test claims, if that is known."""
        orphans = None if ledger.unknown else ledger.orphans
        content = {"baselines": os.path.relpath(self.baselines, self.config.rootpath), "orphans": orphans}
        write(self.output / "session.json", json.dumps(content).encode())

    def doing(self) -> str:
        """Say what this session compares with what, or writes, and what data it was given."""
        data = f"; CIFAR-10 from {self.cifar10}" if self.cifar10 else ""
        data += f"; rank {self.rank} of {self.launched}" if self.launched else ""
        if self.generate_path is None:
            what = "and figures" if self.comparing_figures else "but not figures (no --mpl)"
            return f"comparing records {what}{self._doing_against()}{data}"
        place, elsewhere = self.shown(self.generate_path), self.generate_path != self.read_baselines
        to_read = f", which is read with --mpl-baseline-path={place}" if elsewhere else ""
        return f"writing baselines to {place}{to_read}{data}"

    def _doing_against(self) -> str:
        made = ", ".join(self.counts.elsewhere) or "kept from before"
        return f" with {self.against.title}, {made}" if self.against else ""

    def train(self, recipe: "Recipe", device: str) -> "Record":
        """Return the record of a recipe on a device, training it if this session has not yet, or by other code."""
        code = self.code.fingerprint(recipe.model)
        training = self.trainings.get(recipe, device, code) or self._trained(recipe, device, code)
        record = training.record
        self.runs.adopt(record, self.tensorboard / training.run)
        return record

    def _trained(self, recipe: "Recipe", device: str, code: str) -> Training:
        """Train a recipe, or take what another worker has trained."""
        unlike = [word for word in (recipe.precision, device) if word not in ("float64", "cpu")]
        name = re.sub(r"[^\w.-]", "_", "-".join([recipe.title, recipe.data, *unlike, recipe.digest[:6]]))
        run = name.lstrip(".") + (f"-{code}" if self.trainings.has_other(recipe, device) else "")
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        record, states, test = self.workers.trained(
            recipe, device, lambda: (*self._train(recipe, device, run), test), code
        )
        codes = {code, self.code.fingerprint(recipe.model)}
        training = Training(recipe, device, record, states, codes=codes, test=test, run=run)
        self.trainings.add(training)
        return training

    def _states(self, recipe: "Recipe") -> "States | None":
        """Return states to put back into a training, or to fill, if this session has a use for them."""
        if self.assignment:
            return self.assignment.states()
        return self.states_to_fill() if recipe.precision != "float64" else None

    def states_to_fill(self) -> "States | None":
        """Return states for a training to fill if its record is to become a baseline."""
        from harness.recording.states import States

        return States() if self.generate_path else None

    def perturb(self) -> None:
        """Perturb every training of this process as it was assigned."""
        if self.assignment:
            stack = ExitStack()
            building = self.config.stash.get(_BUILDING, None)
            self.effects = stack.enter_context(perturbed_as(self.assignment, self.config.rootpath, building))
            self.config.add_cleanup(stack.close)

    @contextlib.contextmanager
    def giving_up(self) -> Iterator[None]:
        """In a process that reruns a test, leave word of what it ends with, and of what a fault has to do with that."""
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            failure = error if isinstance(error, FaultError) else None
            failure = failure or (self.effects.failure(error) if self.effects else None)
            if self.assignment and failure and "pytest-timeout" not in str(error):
                self.assignment.give_up(failure)
            raise

    def retrain(self, training: Training, how: "Rerun") -> "Reran":
        """Train a recipe again in this process; return its record, and what became of a fault, or its trace."""
        from harness.explaining.tracing import Tracing
        from harness.plugin.progress import Progress
        from harness.recording.perturbation import Enough, Reran
        from harness.shipped.loop import train

        recipe, device = training.recipe, training.device
        progress = Progress(self.config, f"{recipe.title}, {how.text}", recipe.num_steps)
        tracing = Tracing(self.config.rootpath, early=True) if how.traces else None
        with in_force(how.perturbation, how.fault, tracing) as effect, progress:
            try:
                record = train(recipe, device, cifar10=self.cifar10, progress=progress, states=how.states)
            except Enough as enough:
                record = enough.record
        return Reran(record, effect.outcome(record), effect.traced(record))

    def _train(self, recipe: "Recipe", device: str, run: str) -> "tuple[Record, States | None]":
        from harness.plugin.progress import Progress
        from harness.shipped.loop import train

        title, states = f"{recipe.title}, {recipe.data}, {recipe.precision}, {device}", self._states(recipe)
        try:
            with self.workers.room(device), Progress(self.config, title, recipe.num_steps) as progress:
                record = train(recipe, device, cifar10=self.cifar10, progress=progress, states=states)
        except NoCifar10Error:
            pytest.skip(str(NO_CIFAR10))
        except DevicePrecisionError as error:
            pytest.skip(str(error))
        if self.task is None:
            self.publish(record, run)
        return record, states

    def publish(self, record: "Record", name: str, test: str = "") -> None:
        """Write a record's TensorBoard run, once, and count its training, which a test's id tells from others."""
        if self.runs.write(record, self.tensorboard / name):
            from harness.report.words import training_line

            self.counts.trainings.append(training_line(record, test))
            self.counts.seconds += record.seconds


SESSION = pytest.StashKey[Session]()
_BUILDING: "pytest.StashKey[Building]" = pytest.StashKey()


@contextlib.contextmanager
def noting_builders(config: pytest.Config) -> Iterator[None]:
    """Note in a block, before there is a session, who builds what, if this process traces a training."""
    assigned = Assignment.from_environment()
    if not (assigned and assigned.traces):
        yield
        return
    from harness.explaining.building import Building

    config.stash[_BUILDING] = building = Building(config.rootpath)
    with building.on():
        yield
