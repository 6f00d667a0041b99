"""The `training_regression` fixture: a record against its baseline."""

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import scratch
from harness.baselines.origin import named_sources
from harness.comparing.ranks import compare_ranks, merge
from harness.elsewhere.handed_down import Effects, perturbed_as
from harness.elsewhere.ranks import gathered
from harness.elsewhere.rerun import Assignment
from harness.errors import RanksError, SuiteError
from harness.plugin.gated_test import GatedTest
from harness.plugin.generating import generate
from harness.plugin.judging import hold, judge, parity
from harness.plugin.record_check import RecordCheck, choose, states_of
from harness.plugin.session import Session
from harness.recipe import Precision
from harness.record.environment import describe
from harness.record.gate import Gate, asked, require_at_work
from harness.record.ranks import of_all_ranks
from harness.record.record import Record, require_record
from harness.record.stream_text import stream_text
from harness.recording.perturbation import current
from harness.report.words import at_step
from harness.tensorboard.reading import read_events
from harness.workers.worker import Handed


if TYPE_CHECKING:
    from harness.baselines.environments import Choice
    from harness.recording.states import States


_NOTHING: Mapping[str, float] = {}


class TrainingRegression:
    """Compares records with the baselines of one test."""

    def __init__(self, item: pytest.Item, session: Session) -> None:
        self._test = GatedTest(item, session)
        self._session = session
        self._names: set[str] = set()
        self._states: dict[str, States | None] = {}
        self._chosen: dict[str, Choice] = {}
        self._effects = session.effects
        self._handing_down = contextlib.ExitStack()
        item.addfinalizer(self._handing_down.close)

    def states(self, *, name: str = "") -> "States | None":
        """Return what a `Recorder` needs to be judged from state to state: in low precision, or where rounding grows.

            with Recorder(precision="float32", states=training_regression.states()) as recorder:

        Under --mpl-generate-path the recorder fills them, and they are stored beside the baseline. Later the training
        is put back on each of them, so that rounding has only a few steps to grow.

        Processes that the test starts afterwards have them, too, wherever a recorder there is given `States`: ranks,
        `ranks(train, training_regression.states())`, and scripts, `Recorder(states=States())`.

        Args:
            name: as for `check`.

        Raises:
            BaselineError: the baseline, or its states, are broken.
        """
        self._states[name] = states = self._given(name)
        if states is not None:
            self._effects = self._effects or self._of_children()
            self._handing_down.enter_context(self._effects.hand_down(states))
        return states

    def _of_children(self) -> Effects:
        """Return what becomes of what processes are handed that this test starts."""
        folder = self._handing_down.enter_context(scratch.folder())
        assigned = Assignment(self._test.id, "", current(), "", folder)
        assigned.write()
        return self._handing_down.enter_context(perturbed_as(assigned, self._session.config.rootpath))

    def _filled(self, name: str, record: "Record") -> "States | None":
        """Return the states that were filled in a record's training, here or in another process."""
        own = self._states.get(name)
        return self._effects.states(record) if self._effects and own is not None and not own.steps else own

    def _given(self, name: str) -> "States | None":
        session = self._session
        if session.assignment:
            return session.assignment.states() if name == session.assignment.name else None
        if session.generate_path or not session.seeds:
            return session.states_to_fill() or self._stored(name)
        return None  # a training that is judged by its results goes its own way

    def _stored(self, name: str) -> "States | None":
        environment = describe(self._test.device or "cpu") | {"threads": str(current().threads)}
        chosen = choose(self._test, name, environment)
        if chosen is None:  # `check` will say so
            return None
        self._chosen[name] = chosen
        return states_of(self._test, chosen.path, chosen.baseline, chosen.states)

    def check(
        self,
        record: "Record",
        *,
        name: str = "",
        ignore: Collection[str] = (),
        thresholds: Mapping[str, float] = _NOTHING,
        allow_nonfinite: Collection[str] | bool = False,
        sources: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        """Compare a record with this test's baseline, or write it under --mpl-generate-path.

        What a test lets go is stored in the baseline, with the reason that --training-reason gives when it is written,
        and said in every summary. Patterns are as in file names: `["evaluation/*"]`.

        Args:
            record: of `training(recipe)` or of a `Recorder`.
            name: tells several records of one test apart.
            ignore: names or patterns of streams that are not compared.
            thresholds: likewise, to how far they may part where rounding explains less; 0.1 at most.
            allow_nonfinite: likewise, or True for all, where NaN and infinity equal those of the baseline.
            sources: files that the record depends on and that this process has not imported: of a training in another
                process, configurations, data. Paths or patterns, relative to pytest's root: `["train.py",
                "configs/*.yaml"]`. Once one has changed, `harness accept` refuses the result. What a process imports in
                which a `Recorder` records is known without. A file that the test itself writes is none.

        Raises:
            SuiteError: the test has checked a record of this name; a source is not a file of the project; a pattern
                fits no stream, or those to ignore fit all that the training did.
            AcceptError: a loosened gate is to be written, and no reason is given.
            BaselineError: the baseline is missing, broken, of another gate, or cannot be written.
            NonFiniteError: the record to be written holds NaN or infinity that is not allowed.
            RerunError: the training could not be run again where that is needed.
            EquivalenceError: the seeds of --training-equivalence cannot be judged.
        """
        __tracebackhide__ = True
        require_record(record, "training_regression.check")
        self._take(name)
        if not self._is_rerun(record, name):
            gate = asked(ignore, thresholds, allow_nonfinite)
            require_at_work(gate, record, self._test.id)
            self._conclude(self._checked(record, name, gate, sources))

    def _checked(
        self, record: "Record", name: str, gate: Gate, sources: Sequence[str | os.PathLike[str]]
    ) -> RecordCheck:
        return RecordCheck(
            self._test,
            record,
            name,
            filled=self._filled(name, record),
            chosen=self._chosen.get(name),
            sources=named_sources(self._session.config.rootpath, sources),
            gate=gate,
            stateful=name in self._states,
        )

    def _conclude(self, checked: RecordCheck, ranks: "Sequence[Record]" = (), single: "Record | None" = None) -> None:
        """Compare, or write; of a process that was sent here, hand out: it is where it was sent from that is done."""
        __tracebackhide__ = True
        if errand := self._session.errand:
            errand.checks.append(checked.handed(ranks, single))
        elif single:
            parity(checked, compare_ranks(ranks, single, checked.gate.ignore))
        else:
            self._decide(checked)

    def receive(self, handed: Handed, read: Sequence[Path]) -> None:
        """Make a check of a test that ran elsewhere."""
        __tracebackhide__ = True
        self._take(handed.name)
        checked = RecordCheck(
            self._test,
            replace(Record.from_text(handed.record), seconds=handed.seconds),
            handed.name,
            sources=[*map(Path, handed.sources), *read],
            gate=handed.gate,
            of_recipe=handed.of_recipe,
            stateful=handed.stateful,
        )
        single = Record.from_text(handed.single) if handed.single else None
        self._conclude(checked, [*map(Record.from_text, handed.ranks)], single)

    def check_ranks(
        self,
        records: "Record | Sequence[Record] | str | os.PathLike[str]",
        *,
        single: "Record | None" = None,
        name: str = "",
        ignore: Collection[str] = (),
        sources: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        """Check all ranks of a distributed training as one.

        Ranks must agree in what they share: weights, the gradients that optimizers use, updates, optimizer state, rates
        and buffers. Merged, with samples added and losses averaged, they must do what a single process does on the same
        samples, or, without one, what this test's baseline says.

        Args:
            records: of all ranks, as `ranks(function)` returns them; the folder that each has saved its own in; or,
                where a launcher started pytest itself, this rank's own, while there is a process group.
            single: of one process that trains on all samples; the baseline counts if there is none.
            name: as for `check`.
            ignore: as for `check`.
            sources: as for `check`.

        Raises:
            RanksError: a rank is missing, or is another training's; there were no ranks; `single` is a rank, or of low
                precision; ranks that part are to become a baseline.
            HarnessError: as for `check`.
        """
        __tracebackhide__ = True
        own = gathered(records, self._session.ran) if isinstance(records, Record) else records
        found = of_all_ranks(own, "training_regression.check_ranks")
        merged = merge(found)
        if merged.world is None or not merged.world.backend:
            raise RanksError.alone(nodeid=self._test.id)
        if self._effects:
            self._effects.stands_for(merged, found)
        if single is None:
            self._require_one(merged)
            if self._session.generate_path and self._session.rank:
                pytest.skip("the baseline of all ranks is written by the first")
            self.check(merged, name=name, ignore=ignore, sources=sources)
            return
        require_record(single, "training_regression.check_ranks", "single")
        gate = asked(ignore, {}, False)
        self._require_comparable(single, merged)
        self._take(name)
        if not self._is_rerun(merged, name):
            self._conclude(self._checked(merged, name, gate, sources), found, single)

    def _require_comparable(self, single: "Record", merged: "Record") -> None:
        """Refuse to hold ranks against what is no single process, or in a precision that rounds."""
        if single.world and single.world.size > 1:
            rank, size = single.world.rank, single.world.size
            raise RanksError.not_single(rank=rank, world_size=size, nodeid=self._test.id)
        if merged.is_low_precision:
            raise RanksError.rounded(precision=merged.precision, nodeid=self._test.id)

    def _require_one(self, merged: "Record") -> None:
        """Refuse to make a baseline of ranks that part."""
        parted = min(merged.streams.of("ranks"), key=lambda found: found[1].steps, default=None)
        if self._session.generate_path and parted:
            key, stream = parted
            first = f"{stream_text(key)} {at_step(stream.steps[0])}: {stream.values[0]}"
            raise RanksError.apart(first=first, nodeid=self._test.id)

    def _is_rerun(self, record: "Record", name: str) -> bool:
        """Tell whether this process runs a training again for a session, and hand in the record that it wants."""
        assignment, effects = self._session.assignment, self._effects
        if assignment and effects and name == assignment.name:
            assignment.hand_in(record, effects.outcome(record), effects.traced(record))
        return assignment is not None

    def _take(self, name: str) -> None:
        """Refuse a second record of a name."""
        if name in self._names:
            error = SuiteError.checked_twice(name=name, nodeid=self._test.id)
            self._session.counts.add_problem(error)
            raise error
        self._names.add(name)

    def _decide(self, checked: RecordCheck) -> None:
        __tracebackhide__ = True
        self._session.publish(checked.record, checked.run, self._test.id)
        if self._session.generate_path:
            generate(checked)
        elif self._session.seeds:
            judge(checked, self._session.seeds)
        else:
            hold(checked)

    def check_events(
        self,
        logdir: str | os.PathLike[str],
        *,
        precision: Precision = "float64",
        name: str = "",
        ignore: Collection[str] = (),
        thresholds: Mapping[str, float] = _NOTHING,
        allow_nonfinite: Collection[str] | bool = False,
        old: bool = False,
        sources: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        """Compare the scalars of a training that leaves only TensorBoard event files with this test's baseline.

        Measured times are left out (`tensorboard.reading.MEASURED_TIMES`), and named.

        Args:
            logdir: the folder, with all runs below it (`harness.events` says how they become one record).
            precision: in which the training computed. In float64 its numbers must agree to 1e-6, since event files
                keep float32; otherwise they must be equal in the same environment, and may part in another.
            name: as for `check`.
            ignore: as for `check`, of scalars.
            thresholds: likewise.
            allow_nonfinite: likewise.
            old: whether the files are kept on purpose. Otherwise all of them must have been begun and changed since
                this session started: by a run of this test, or by a fixture that trained for several.
            sources: as for `check`.

        Raises:
            EventsError: the files are missing, damaged, older than this session, of two writers at once, or hold no
                scalar.
            HarnessError: as for `check`.
        """
        __tracebackhide__ = True
        session, device = self._session, self._test.device or "cpu"
        since = None if old or session.assignment else session.started  # a rerun may read what its session made
        record = read_events(logdir, precision=precision, device=device, since=since)
        self.check(
            record,
            name=name,
            ignore=ignore,
            thresholds=thresholds,
            allow_nonfinite=allow_nonfinite,
            sources=sources,
        )
