"""The `training_regression` fixture: a record against its baseline."""

import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from harness.baselines.environments import Choice, others
from harness.baselines.failed import FIRST, LOOSENED, WITH_STATES, made_by_training
from harness.baselines.origin import named_sources
from harness.baselines.store import save_baseline
from harness.comparing.comparison import compare
from harness.comparing.equivalence import judged
from harness.comparing.metrics import of_seeds
from harness.comparing.plausible import implausible
from harness.comparing.ranks import compare_ranks, merge
from harness.comparing.variants import put_back
from harness.elsewhere.ranks import gathered
from harness.elsewhere.worker import Handed
from harness.errors import (
    BaselineError,
    BaselineImplausibleError,
    BaselineMissingError,
    EquivalenceError,
    RanksError,
    RerunError,
    SuiteError,
)
from harness.explaining.where import unknown, where
from harness.faults.gate_power import measure
from harness.plugin.calibrating import calibrated, require_tight, verified
from harness.plugin.cost import cost, with_cost
from harness.plugin.gated_test import GatedTest
from harness.plugin.messages import failed
from harness.plugin.record_check import RecordCheck, choose, states_of
from harness.plugin.session import Checked, Session
from harness.recipe import Precision
from harness.record import Baseline
from harness.record.environment import describe
from harness.record.gate import Gate, asked, require_at_work
from harness.record.ranks import of_all_ranks
from harness.record.record import Record, require_record
from harness.recording.perturbation import current
from harness.report import failed_pictures
from harness.report.blame_text import blame_lines
from harness.report.comparison_text import (
    calibration_note,
    cause,
    difference,
    equivalence_text,
    note,
    parity_text,
    power_text,
)
from harness.report.comparison_text import failure as failure_text
from harness.report.finding import Finding
from harness.report.session_text import loosened_text
from harness.report.where_text import unknown_text, where_text
from harness.report.words import at_step, gate_text, stream_text, title
from harness.tensorboard.reading import read_events


if TYPE_CHECKING:
    from harness.baselines.environments import Choice
    from harness.comparing.comparison import Comparison
    from harness.comparing.deviations import Deviation
    from harness.comparing.ranks import Held
    from harness.explaining.blame import Changed
    from harness.record import Calibration
    from harness.recording.states import States


_NOTHING: Mapping[str, float] = {}


def failure(
    comparison: "Comparison",
    checked: RecordCheck,
    baseline: Baseline,
    drawn: bytes,
    changed: "list[Changed] | None",
    where: str,
    bits: "Deviation | None",
) -> tuple[str, str]:
    """Keep the record that differs; return the message, and the command in it that accepts the record.

    Args:
        comparison: with the baseline.
        checked: the record and its test.
        baseline: as it is stored.
        drawn: the deviations, as a PNG file.
        changed: files that have changed since; None if that is not known.
        where: the line that differs first, in words.
        bits: the first number of which a bit is another, where that counts.
    """
    test, session = checked.test, checked.test.session
    whole = checked.record if checked.gate.ignore else comparison.record
    kept, accept = test.keep_failed(
        checked.path,
        Baseline(whole, trace=baseline.trace and checked.traced.kept).to_text().encode(),
        difference=difference(comparison),
        obstacle=_obstacle(checked, baseline),
        options=["--training-generate=add"] if checked.is_others else [],
        named=checked.sources,
        check=checked.name,
    )
    look = [str(session.shown(session.outcome.page))]
    look += [f"{session.shown(kept)}   (baseline: {checked.shown_path})"] if kept else []
    with session.outcome.noted():
        look += [str(session.shown(path)) for path in failed_pictures.keep(comparison, drawn, checked.pictures)]
    against = session.against.title if session.against else ""
    text = failure_text(
        comparison,
        test=test.id,
        blame=[] if changed is None else blame_lines(changed),
        look=[*look, f"tensorboard --logdir {session.shown(session.tensorboard)}"],
        accept=accept,
        chosen=checked.chosen_text,
        origin={} if against else session.origin,
        trained=checked.trained_by,
        where=where,
        against=against,
        bits=bits,
    )
    return text, accept


def _where(comparison: "Comparison", checked: RecordCheck) -> tuple[str, str]:
    """Return where a training differs first, in words, and that line alone; empty if it is not known."""
    if comparison.baseline.trace is None:
        return unknown_text("", checked.explain_command) if checked.test.session.against else "", ""
    found = where(comparison, checked.traced)
    if found:
        return where_text(found), found.line
    return unknown_text(unknown(comparison, checked.traced), checked.explain_command), ""


def _obstacle(checked: RecordCheck, baseline: Baseline) -> str:
    """Say what of a baseline only a training can make anew, or why this one's result cannot."""
    if checked.is_others:
        return "it is the baseline of another environment, and this one has none yet"
    return made_by_training(baseline)


def _is_notable(comparison: "Comparison", checked: RecordCheck) -> bool:
    """Tell whether a comparison that passes is worth a line: not the usual "same" with the usual margin."""
    around = comparison.renamed or comparison.frozen or comparison.unknown or checked.is_elsewhere
    world = checked.record.world
    around = around or checked.is_served or bool(comparison.world) or bool(world and world.lacks_ranks)
    unusual = around or comparison.unjudged or comparison.starts_elsewhere
    return comparison.verdict in ("drift", "not judged") or bool(unusual) or checked.record.source == "event files"


class TrainingRegression:
    """Compares records with the baselines of one test.

    Args:
        item: the test.
        session: the session's state.
    """

    def __init__(self, item: pytest.Item, session: Session) -> None:
        self._test = GatedTest(item, session)
        self._session = session
        self._names: set[str] = set()
        self._states: dict[str, States | None] = {}
        self._chosen: dict[str, Choice] = {}

    def states(self, *, name: str = "") -> "States | None":
        """Return what a `Recorder` needs to be judged from state to state: in low precision, or where rounding grows.

            with Recorder(precision="float32", states=training_regression.states()) as recorder:

        Under --mpl-generate-path the recorder fills them, and they are stored beside the baseline. Later the training
        is put back on each of them, so that rounding has only a few steps to grow.

        Args:
            name: as for `check`.

        Raises:
            BaselineError: the baseline, or its states, are broken.
        """
        self._states[name] = states = self._given(name)
        return states

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
        if self._is_rerun(record, name):
            return
        gate = asked(ignore, thresholds, allow_nonfinite)
        require_at_work(gate, record, self._test.id)
        named = named_sources(self._session.config.rootpath, sources)
        if errand := self._session.errand:
            errand.checks.append(self._handed(record, name, gate, named))
            return
        self._decide(RecordCheck(self._test, record, name, self._states.get(name), self._chosen.get(name), named, gate))

    def _handed(self, record: "Record", name: str, gate: Gate, named: Sequence[Path]) -> Handed:
        """Return a check for the session that sent this process: it is there that records are compared."""
        return Handed(
            name=name,
            record=record.to_text(),
            seconds=record.seconds,
            of_recipe=self._session.trainings.of(record) is not None,
            stateful=name in self._states,
            ignore=gate.ignore,
            thresholds=gate.thresholds,
            allow_nonfinite=gate.allow_nonfinite,
            sources=[file.as_posix() for file in named],
        )

    def receive(self, handed: Handed, read: Sequence[Path]) -> None:
        """Make a check of a test that ran elsewhere.

        Args:
            handed: what it checked.
            read: files of the project that it imported there.
        """
        __tracebackhide__ = True
        record = replace(Record.from_text(handed.record), seconds=handed.seconds)
        self._take(handed.name)
        if handed.stateful:
            self._states[handed.name] = None
        gate = asked(handed.ignore, handed.thresholds, handed.allow_nonfinite)
        sources = [*map(Path, handed.sources), *read]
        checked = RecordCheck(self._test, record, handed.name, None, None, sources, gate, handed.of_recipe)
        if handed.single:
            found = [*map(Record.from_text, handed.ranks)]
            self._parity(checked, compare_ranks(found, Record.from_text(handed.single), gate.ignore))
        else:
            self._decide(checked)

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
            RanksError: a rank is missing, or is another training's; `single` is a rank; ranks that part are to become a
                baseline.
            HarnessError: as for `check`.
        """
        __tracebackhide__ = True
        own = gathered(records) if isinstance(records, Record) else records
        found = of_all_ranks(own, "training_regression.check_ranks")
        merged = merge(found)
        self._session.ranks.stands_for(merged, found)
        if single is None:
            self._require_one(merged)
            if self._session.generate_path and self._session.rank:
                pytest.skip("the baseline of all ranks is written by the first")
            self.check(merged, name=name, ignore=ignore, sources=sources)
            return
        require_record(single, "training_regression.check_ranks")
        self._beside(single, merged, found, name, asked(ignore, {}, False), sources)

    def _beside(
        self,
        single: "Record",
        merged: "Record",
        ranks: "Sequence[Record]",
        name: str,
        gate: Gate,
        sources: Sequence[str | os.PathLike[str]],
    ) -> None:
        """Hold ranks against a single process, here or where this process was sent from."""
        __tracebackhide__ = True
        if single.world and single.world.size > 1:
            rank, size = single.world.rank, single.world.size
            raise RanksError.not_single(rank=rank, world_size=size, nodeid=self._test.id)
        self._take(name)
        if self._is_rerun(merged, name):
            return
        named = named_sources(self._session.config.rootpath, sources)
        if errand := self._session.errand:
            handed, texts = self._handed(merged, name, gate, named), [record.to_text() for record in ranks]
            errand.checks.append(structs.replace(handed, ranks=texts, single=single.to_text()))
            return
        checked = RecordCheck(self._test, merged, name, sources=named, gate=gate)
        self._parity(checked, compare_ranks(ranks, single, gate.ignore))

    def _require_one(self, merged: "Record") -> None:
        """Refuse to make a baseline of ranks that part."""
        parted = min(merged.streams.of("ranks"), key=lambda found: found[1].steps, default=None)
        if self._session.generate_path and parted:
            key, stream = parted
            first = f"{stream_text(key)} {at_step(stream.steps[0])}: {stream.values[0]}"
            raise RanksError.apart(first=first, nodeid=self._test.id)

    def _parity(self, checked: RecordCheck, held: "Held") -> None:
        """Conclude what ranks do beside a single process: there is nothing to accept."""
        __tracebackhide__ = True
        comparison = held.comparison
        passed = comparison.verdict == "same" or (comparison.verdict == "drift" and not self._session.strict)
        text = parity_text(held, self._test.id, self._session.shown(self._session.outcome.page), passed=passed)
        check = replace(checked.check(), baseline="", accept="")
        finding = check.training(comparison, passed=passed, text=text, notable=bool(held.apart))
        self._conclude(finding, text, "" if passed else cause(comparison))
        if self._session.measures_power and not held.apart:
            self._measure(checked, comparison.baseline)

    def _is_rerun(self, record: "Record", name: str) -> bool:
        """Tell whether this process runs a training again for a session, and hand in the record that it wants."""
        assignment = self._session.assignment
        if assignment and name == assignment.name:
            assignment.hand_in(record, self._session.took_effect(record), self._session.traced(record))
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
        self._session.publish(checked.record, checked.run)
        if self._session.generate_path:
            self._generate(checked)
        elif self._session.seeds:
            self._judge(checked, self._session.seeds)
        else:
            self._compare(checked)

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

    def _generate(self, checked: RecordCheck) -> None:
        if not (self._session.adds_environment and checked.record.is_low_precision):  # each device has one of its own
            self._test.skip_unless_writer()
        if self._session.only_missing and checked.path.exists():
            self._session.counts.did(checked.shared_path.name, self._test.id, "kept")
            return
        record, counts, seeds = checked.record, self._session.counts, {}
        gate = checked.reasoned(self._session.origin.get("reason", ""))
        calibration, states = calibrated(checked)
        counts.notes.append(calibration_note(checked.judged, calibration, self._test.id))
        counts.notes += loosened_text([(self._test.id, gate_text(gate))])
        self._look_back(checked, calibration)
        if self._session.seeds:
            seeds = dict(of_seeds(checked.judged, self._session.seeds, checked.rerun))
        sources = {name: content for name, content in self._test.sources(checked.sources).items() if content}
        trace = checked.traced.kept if calibration else None
        if calibration and not trace:
            counts.notes.append(f"{title(record)}: no operations are kept: {checked.traced.error}   {self._test.id}")
        baseline = Baseline(record, self._session.origin, calibration, seeds, gate, trace, sources)
        if reason := implausible(baseline):
            raise BaselineImplausibleError.unjudgeable(nodeid=self._test.id, reason=reason)
        save_baseline(checked.path, baseline, states)
        self._withdraw(checked)
        counts.did(checked.shared_path.name, self._test.id, "generated")

    def _look_back(self, checked: RecordCheck, calibration: "Calibration | None") -> None:
        """In CI, report a stored baseline of the same training whose thresholds are far above what was measured now."""
        if not (self._session.in_ci and calibration):
            return
        try:
            stored = checked.baseline()
        except BaselineImplausibleError as error:
            self._session.counts.add_problem(error)
            return
        except BaselineError:  # there is none, or none that could be loose
            return
        if stored.calibration and stored.record.structure == checked.record.structure:
            try:
                require_tight(checked, stored.calibration, calibration)
            except BaselineError as error:
                self._session.counts.add_problem(error)

    def _judge(self, checked: RecordCheck, seeds: int) -> None:
        """Ask whether the training is as good as its baseline over several seeds, not whether it is the same."""
        __tracebackhide__ = True
        command = f"{self._test.regenerate_command} --training-equivalence={seeds}"
        with self._session.outcome.keeping_errors(self._test.item, checked.check()):
            baseline = checked.baseline()
            if (found := len(baseline.seeds)) != seeds:  # more of them would widen the margins
                refuse = EquivalenceError.no_seeds if found < seeds else EquivalenceError.more_seeds
                raise refuse(path=checked.shown_path, found=found, seeds=seeds, command=command)
            result = judged(baseline.seeds, checked.judged, seeds, checked.rerun)
        text = equivalence_text(result, *self._with_more_seeds(seeds))
        check = checked.check(accept=command)
        self._conclude(check.seeds(result, text=text), f"{self._test.id}\n{text}", text.partition("\n")[0])

    def _with_more_seeds(self, seeds: int) -> tuple[str, str]:
        """Return the command lines that decide what these seeds leave open: on the former version, and on this one."""
        more = f"--training-equivalence={2 * seeds}"
        return f"{self._test.regenerate_command} {more}", f"{self._test.compare_command} {more}"

    def _conclude(self, finding: Finding, text: str, cause: str = "") -> None:
        """Keep what was found; fail with a text, and the cause in a line, if it does not pass."""
        __tracebackhide__ = True
        self._session.outcome.add(self._test.item, finding)
        if not finding.passed:
            raise failed(text, cause)

    def _compare(self, checked: RecordCheck) -> None:
        __tracebackhide__ = True
        with self._session.outcome.keeping_errors(self._test.item, checked.check()):
            self._withdraw(checked)
            if self._test.is_apart(checked.path):
                return
            self._check_environment(checked)
            baseline = self._stored_or_offered(checked)
            comparison, bits = self._comparison(checked, baseline)
        drawn = failed_pictures.deviations(comparison) if comparison.verdict != "same" else b""
        self._session.runs.overlay(checked.record, comparison, drawn)
        lenient = comparison.verdict in ("drift", "not judged") and not self._session.strict
        passed = comparison.verdict == "same" or lenient
        if passed:
            text = note(comparison, chosen=checked.chosen_text, trained=checked.trained_by, bits=bits)
            accept, changed, place, line, code = self._test.accept_command, None, "", "", []
        else:
            place, line = _where(comparison, checked)
            changed = checked.blame(baseline, line)
            text, accept = failure(comparison, checked, baseline, drawn, changed, place, bits)
            code = checked.code(baseline, line, changed or [])
        former = None if passed else baseline.record
        self._session.add_checked(Checked(weakref.ref(checked.record), self._test.id, former))
        check = checked.check(accept=accept, where=line)
        notable = _is_notable(comparison, checked)
        finding = check.training(
            comparison, passed=passed, text=text, notable=notable, where=place, blame=changed or (), code=code
        )
        if (against := self._session.against) and (against.asked is None or against.asked.costs):
            finding = with_cost(finding, checked, baseline, cost(checked, against))
        self._conclude(finding, finding.text, "" if passed else cause(comparison, bits))
        if self._session.verifies:
            with self._session.outcome.keeping_errors(self._test.item, checked.check()):
                self._session.counts.notes.append(verified(checked, baseline))
        if self._session.measures_power:
            self._measure(checked, baseline)

    def _stored_or_offered(self, checked: RecordCheck) -> Baseline:
        """Read the baseline; where there is none, keep the record, which may become it."""
        try:
            return checked.baseline()
        except BaselineMissingError:
            stateful = checked.name in self._states or (checked.is_recipes and checked.record.is_low_precision)
            obstacle = WITH_STATES if stateful else LOOSENED if checked.gate else ""
            _, accept = self._test.keep_failed(
                checked.path,
                checked.record.to_text().encode(),
                difference=FIRST,
                obstacle=obstacle,
                named=checked.sources,
                check=checked.name,
            )
            command = self._test.regenerate_command
            raise BaselineMissingError.of(
                path=checked.shown_path, command=command, accept=accept if accept != command else ""
            ) from None

    def _check_environment(self, checked: RecordCheck) -> None:
        """Under --training-strict, take no low-precision baseline of another environment."""
        if self._session.strict and checked.is_elsewhere:
            path = checked.shown_path
            raise BaselineError.other_environment(
                path=path, choice=checked.chosen_text, command=self._test.regenerate_command
            )

    def _withdraw(self, checked: RecordCheck) -> None:
        """Forget what an earlier session kept of a failure."""
        for path in {checked.path, checked.shared_path, *others(checked.shared_path)}:
            self._test.withdraw(path)
        failed_pictures.forget(checked.pictures)

    def _comparison(self, checked: RecordCheck, baseline: Baseline) -> "tuple[Comparison, Deviation | None]":
        """Compare; a recipe with stored states that is not its baseline is put back on them.

        Returns:
            The comparison; and the first number of which a bit is another, where the baseline was trained in low
            precision on this machine.
        """
        comparison = compare(baseline, checked.record)
        bits = comparison.moved if self._session.against and checked.record.is_low_precision else None
        states = checked.stored_states(baseline) if checked.is_recipes and comparison.verdict != "same" else None
        if states is None:
            return comparison, bits
        return compare(baseline, put_back(checked.judged, states, checked.rerun)), bits

    def _measure(self, checked: RecordCheck, baseline: Baseline) -> None:
        """Plant faults in the training; too many that escape are a failure."""
        __tracebackhide__ = True
        with self._session.outcome.keeping_errors(self._test.item, checked.check()):
            states = checked.stored_states(baseline) if checked.path.exists() else None
            power = measure(checked.judged, baseline, states, checked.rerun, strict=self._session.strict)
            if power is None:
                raise RerunError.unrepeatable(nodeid=self._test.id)
        least = self._session.least_power
        text = power_text(power, self._test.id, least)
        self._conclude(checked.check().power(power, passed=power.reaches(least), text=text), text)
