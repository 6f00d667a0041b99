"""One record that a test checks: which file its baseline is, and how its training is run again."""

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.baselines.environments import Choice, beside, nearest, others
from harness.baselines.store import load_with_states, to_states
from harness.errors import AcceptError, BaselineError, HarnessError, RerunError
from harness.explaining.traced import Traced
from harness.explaining.where import is_given, is_same_start
from harness.plugin.gated_test import GatedTest
from harness.record import Baseline
from harness.record.gate import STRICT, Gate
from harness.recording.perturbation import Reran, Rerun
from harness.report import failed_pictures
from harness.report.words import gate_text
from harness.workers.worker import Handed


if TYPE_CHECKING:
    from harness.comparing.comparison import Comparison
    from harness.explaining.blame import Changed
    from harness.explaining.edited import Edited
    from harness.explaining.excerpt import Excerpt
    from harness.explaining.where import Where
    from harness.plugin.session import Session
    from harness.record import Record
    from harness.recording.states import States
    from harness.report.check import Check


@dataclass(frozen=True)
class RecordCheck:
    """A record in the hands of `training_regression.check`."""

    test: GatedTest
    record: "Record"
    name: str  # tells several records of one test apart
    filled: "States | None" = None  # that a watched loop's recorder was given
    chosen: Choice | None = None  # the baseline that they are of, if it has been chosen
    sources: Sequence[Path] = ()  # files that the test says the record depends on
    gate: Gate = STRICT
    of_recipe: bool = False  # whether another process trained a recipe for it
    stateful: bool = False  # whether the test asked for states to be judged from

    @property
    def session(self) -> "Session":
        """The session of the test."""
        return self.test.session

    def keeping_errors(self) -> contextlib.AbstractContextManager[None]:
        """Keep an error within it as what this check found."""
        return self.session.report.keeping_errors(self.check(), self.test.item.user_properties)

    @cached_property
    def judged(self) -> "Record":
        """The record, without what is not compared."""
        return self.record.without(self.gate.ignore)

    @property
    def shared_path(self) -> Path:
        """File of the baseline that is stored for all environments."""
        return self.test.record_file(self.name)

    @cached_property
    def choice(self) -> Choice | None:
        """Which of the stored baselines a low-precision record is held against; None without one, and in float64.

        Raises:
            BaselineError: one of them is broken.
        """
        if not self.record.is_low_precision:
            return None
        return self.chosen or choose(self.test, self.name, self.record.environment)

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
        if not self.session.generate_path:
            return self.choice.path if self.choice else self.shared_path
        own = beside(self.shared_path, self.record.environment)
        adds = self.session.adds_environment and self.is_elsewhere
        return own if self.record.is_low_precision and (own.exists() or adds) else self.shared_path

    @property
    def shown_path(self) -> Path:
        """The baseline's file as people here would type it."""
        return self.session.shown(self.path)

    @property
    def run(self) -> str:
        """Name of its TensorBoard run: that of its test without what all tests begin with; each device has its own."""
        device = f"-{self.record.device}" if self.record.device != "cpu" else ""
        return re.sub(r"(^|[.-])test_", r"\1", self.shared_path.stem) + device

    @property
    def pictures(self) -> Path:
        """Folder of the pictures that are drawn if the record differs from its baseline; each device has its own."""
        return self.session.output / "pictures" / f"{self.shared_path.stem}-{self.record.device}"

    def check(self, accept: str = "", where: str = "") -> "Check":
        """Return what is the same in every finding of this check (`GatedTest.check`)."""
        return self.test.check(self.shared_path.name, accept or self.test.accept_command, self.name, where)

    def blame(self, baseline: Baseline, where: str = "") -> "list[Changed] | None":
        """Return the files that have changed since a baseline was made (`GatedTest.blame`); None if it names none."""
        if not baseline.sources:
            return None
        return self.test.blame(baseline, self.path, self.test.sources(self.sources), where)

    def code(self, baseline: Baseline, where: str, changed: "Sequence[Changed]") -> "list[Excerpt]":
        """Return the lines of code to look at first (`explaining.excerpt`)."""
        from harness.explaining.excerpt import excerpts

        return excerpts(self.session.git, self._base(baseline, changed), where, changed)

    def edited(
        self, baseline: Baseline, changed: "Sequence[Changed]", comparison: "Comparison", found: "Where | None"
    ) -> "Edited | None":
        """Return the line of the files that have changed since which says another value, of those that differ first."""
        from harness.explaining.edited import edited, given
        from harness.explaining.lines import words
        from harness.explaining.related import related

        git, paths = self.session.git, [each.path for each in changed]
        named, around = (words(git.root, found.places), found.operation.places) if found else ((), ())
        is_known = found or (baseline.trace and is_given(comparison))
        spans = related(git.root, paths, found, self.traced) if is_known else []
        hunks = git.hunks(self._base(baseline, changed), paths)
        return edited(hunks, [*given(comparison, found)], named, around, spans)

    def _base(self, baseline: Baseline, changed: "Sequence[Changed]") -> str:
        """Return the commit that has files which have changed since a baseline was made as they were then."""
        from harness.explaining.blame import base_of

        session = self.session
        known = [name for each in changed if (name := each.former or each.path) in baseline.sources]
        return session.against.commit if session.against else base_of(session.git, baseline, self.path, known)

    @property
    def explain_command(self) -> str:
        """The command that looks for the line at the commit that made the baseline; empty where git knows none."""
        session = self.session
        if session.against:
            setup = session.config.getoption("--training-setup")
            ready = ["--setup", setup] if setup else []
            return shlex.join(["harness", "explain", "--against", session.against.short, *ready, self.test.id])
        return shlex.join(["harness", "explain", self.path.stem]) if session.git.bringing(self.path) else ""

    def baseline(self) -> Baseline:
        """Read the baseline.

        Raises:
            BaselineError: it is missing or broken, or its gate is not the test's.
        """
        baseline = self._stored[0]
        if self.gate.asks_for(baseline.gate):
            return baseline
        now, then, against = gate_text(self.gate), gate_text(baseline.gate), self.session.against
        if against:
            raise BaselineError.gate_there(nodeid=self.test.id, name=against.title, now=now, then=then)
        command = self.test.regenerate_command
        raise BaselineError.other_gate(path=self.shown_path, now=now, then=then, command=command)

    def reasoned(self, reason: str) -> Gate:
        """Return the gate with its reason: the one that it was first written with.

        Raises:
            AcceptError: there is none.
        """
        if not self.gate:
            return self.gate
        with contextlib.suppress(BaselineError):
            if self.gate.asks_for(stored := self._stored[0].gate):
                return stored
        if self.gate.needs_reason and not reason:
            raise AcceptError.loosened(nodeid=self.test.id, gate=gate_text(self.gate))
        return msgspec.structs.replace(self.gate, reason=reason)

    @cached_property
    def _stored(self) -> tuple[Baseline, bytes]:
        """The baseline and the file of its states, read once: what is written beside this session changes neither."""
        if self.choice:
            return self.choice.baseline, self.choice.states
        return load_with_states(self.path, self.test.regenerate_command, self.shown_path)

    def stored_states(self, baseline: Baseline) -> "States | None":
        """Return the states of the baseline, if it has any.

        Raises:
            BaselineError: they are none, or not those of its thresholds.
        """
        return states_of(self.test, self.path, baseline, self._stored[1])

    def kept_states(self) -> "States | None":
        """Return the states that this training kept on its way, if it was to keep some and could."""
        training = self.session.trainings.of(self.record)
        states = training.states if training else self.filled
        return states if states and states.steps else None

    @property
    def is_recipes(self) -> bool:
        """Whether the record came from `training(recipe)`: states are put back where its result differs."""
        return self.of_recipe or self.session.trainings.of(self.record) is not None

    @property
    def trained_by(self) -> str:
        """The earlier test that the recipe was trained for, if this one was served from it."""
        training = self.session.trainings.of(self.record)
        return training.test if training and training.test != self.test.id else ""

    @property
    def is_served(self) -> bool:
        """Whether that test is in another file: within one, a fixture that several tests share is the rule."""
        return self.trained_by.partition("::")[0] not in ("", self.test.id.partition("::")[0])

    @cached_property
    def traced(self) -> Traced:
        """The trace of the training, which is run again for it."""
        try:
            reran = self.rerun(Rerun("its operations traced", traces=True))
        except Exception as error:  # whatever a training or a version of torch makes of it: the check goes on
            return Traced.failed(error.what if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}")
        if reran.traced and is_same_start(self.record, reran.record):
            return reran.traced
        return Traced.failed("this training was run again with its operations traced, and is another then")

    def rerun(self, how: Rerun) -> Reran:
        """Run the training again: a recipe in this process if that will do, a watched loop in another.

        Its record is without what is not compared.

        Raises:
            RerunError: it came to no end.
        """
        session = self.session
        training = session.trainings.of(self.record)
        with session.workers.room(self.record.device):
            if training and not how.environment:
                reran = session.retrain(training, how)
            elif session.launched:
                raise RerunError.launched(nodeid=self.test.id, ranks=session.launched)
            else:
                reran = session.reruns.run(self.test.id, self.name, how)
        return reran._replace(record=reran.record.without(self.gate.ignore))

    def handed(self, ranks: "Sequence[Record]", single: "Record | None") -> Handed:
        """Return the check for the session that sent this process, with the ranks that the record was merged from."""
        return Handed(
            name=self.name,
            record=self.record.to_text(),
            seconds=self.record.seconds,
            of_recipe=self.is_recipes,
            stateful=self.stateful,
            gate=self.gate,
            sources=[file.as_posix() for file in self.sources],
            ranks=[record.to_text() for record in ranks],
            single=single.to_text() if single else "",
        )

    def withdraw(self) -> None:
        """Forget what an earlier session kept of a failure."""
        for path in {self.path, self.shared_path, *others(self.shared_path)}:
            self.test.withdraw(path)
        failed_pictures.forget(self.pictures)


def choose(test: GatedTest, name: str, environment: Mapping[str, str]) -> Choice | None:
    """Choose from a test's stored baselines that of the nearest environment.

    Raises:
        BaselineError: one of them is broken.
    """
    path = test.record_file(name)
    return nearest(path, environment, test.regenerate_command, test.session.shown(path))


def states_of(test: GatedTest, path: Path, baseline: Baseline, data: bytes) -> "States | None":
    """Make a baseline's states of their file, which was read with it; None where it has none.

    Raises:
        BaselineError: they are none, or not those of its thresholds.
    """
    return to_states(data, test.session.shown(path), baseline, test.regenerate_command) if data else None
