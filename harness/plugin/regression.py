"""The `training_regression` fixture: a record against its baseline."""

import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import report
from harness.baselines import baseline_name, load_baseline, load_states, save_baseline
from harness.comparison import compare
from harness.errors import BaselineMissingError, CheckedTwiceError
from harness.events import MEASURED_TIMES, read_events
from harness.plugin import devices
from harness.plugin.rerun import rerun_test
from harness.plugin.session import Session
from harness.recipe import Precision
from harness.thresholds import IN_EVENT_FILES
from harness.variation import Variation


if TYPE_CHECKING:
    from harness.comparison import Comparison
    from harness.record import Record
    from harness.states import States

__all__ = ["TrainingRegression", "device_of", "regenerate_command", "skip_unless_writer"]


class TrainingRegression:
    """Compares records with the baselines of one test.

    Args:
        item: the test.
        session: the session's state.
    """

    def __init__(self, item: pytest.Item, session: Session) -> None:
        self._item = item
        self._session = session
        self._names: set[str] = set()
        self._states: dict[str, States] = {}

    def states(self, *, name: str = "") -> "States | None":
        """Return what a `Recorder` in float32 or bfloat16 needs for a sharp comparison on other machines.

            with Recorder(precision="float32", states=training_regression.states()) as recorder:

        Under --mpl-generate-path the recorder fills them, and they are stored beside the baseline. Later the training
        is put back on each of them, so that rounding has only a few steps to grow.

        Args:
            name: as for `check`.
        """
        assignment = self._session.assignment
        states = assignment.states() if assignment else self._session.states_to_fill() or self._stored(name)
        if states is not None:
            self._states[name] = states
        return states

    def _stored(self, name: str) -> "States | None":
        path = self._path(name)
        try:
            baseline = load_baseline(path, "")
        except BaselineMissingError:
            return None
        return load_states(path, baseline, self._accept) if baseline.calibration else None

    def check(self, record: "Record", *, name: str = "") -> None:
        """Compare a record with this test's baseline, or write it under --mpl-generate-path.

        Args:
            record: of `training(recipe)` or of a `Recorder`.
            name: tells several records of one test apart.

        Raises:
            CheckedTwiceError: the test has checked a record of this name.
            BaselineError: the baseline is missing, broken, or cannot be written.
            NonFiniteError: the record to be written holds NaN or infinity.
            RerunError: the training could not be run again where its comparison needs that.
        """
        __tracebackhide__ = True
        if name in self._names:
            raise CheckedTwiceError(name=name, nodeid=self._item.nodeid)
        self._names.add(name)
        if assignment := self._session.assignment:
            if name == assignment.name:
                assignment.record.write_text(record.to_text(), encoding="utf-8")
            return
        path = self._path(name)
        self._session.publish(record, f"{path.stem}-{record.device}")
        if self._session.generate_path:
            self._generate(record, path, name)
        else:
            self._compare(record, path, name)

    def check_events(
        self,
        logdir: str | os.PathLike[str],
        *,
        precision: Precision = "float64",
        name: str = "",
        ignore: Sequence[str] = MEASURED_TIMES,
    ) -> None:
        """Compare the scalars of a training that leaves only TensorBoard event files with this test's baseline.

        Args:
            logdir: the folder, with all runs below it (`events.read_events` says how they become one record).
            precision: in which the training computed. In float64 its numbers must agree to 1e-6, since event files
                keep float32; otherwise they must be equal in the same environment, and may part in another.
            name: as for `check`.
            ignore: patterns of scalars that are no property of the training.

        Raises:
            EventsError: the files are missing, damaged, or hold no scalar.
            HarnessError: as for `check`.
        """
        __tracebackhide__ = True
        device = device_of(self._item) or "cpu"
        self.check(read_events(logdir, precision=precision, device=device, ignore=ignore), name=name)

    def _path(self, name: str) -> Path:
        stem = baseline_name(self._item.nodeid, device_of(self._item)) + (f",{baseline_name(name)}" if name else "")
        return self._session.baselines / f"{stem}.json"

    @property
    def _accept(self) -> str:
        return regenerate_command(self._item, self._session)

    def _generate(self, record: "Record", path: Path, name: str) -> None:
        skip_unless_writer(self._item)
        training = self._session.training_of(record)
        states = training.states if training else self._states.get(name)
        states = states if states and states.steps and record.precision != "float64" else None
        if states:
            record = self._calibrated(record, states, name)
        save_baseline(path, record, states)
        self._session.counts.generated += 1

    def _calibrated(self, record: "Record", states: "States", name: str) -> "Record":
        """Run the benign variants of a low-precision training, and add what they show."""
        from harness.calibration import VARIANTS, calibrate

        replays = {v.text: self._rerun(record, name, states, v.text, v.variation, v.environment) for v in VARIANTS}
        record = dataclasses.replace(record, calibration=calibrate(record, states, replays))
        self._session.counts.notes.append(report.calibration_note(record))
        return record

    def _rerun(
        self,
        record: "Record",
        name: str,
        states: "States | None",
        text: str,
        variation: Variation,
        environment: Mapping[str, str],
    ) -> "Record":
        training = self._session.training_of(record)
        if training and not environment:
            return self._session.retrain(training, variation, states, text)
        return rerun_test(self._item, name, variation, environment, states, text)

    def _compare(self, record: "Record", path: Path, name: str) -> None:
        __tracebackhide__ = True
        comparison = self._comparison(record, path, name)
        self._session.runs.overlay(record, comparison.baseline, differs=comparison.verdict != "same")
        counts = self._session.counts
        counts.records_compared += 1
        if comparison.verdict == "drift" or comparison.renamed:
            counts.notes.append(report.note(comparison))
        counts.drifted += comparison.verdict == "drift"
        if comparison.verdict == "different" or (comparison.verdict == "drift" and self._session.strict):
            pytest.fail(self._failure(comparison, path), pytrace=False)
        if comparison.verdict == "same" and record.precision.endswith(IN_EVENT_FILES):  # whose threshold is another
            counts.notes.append(report.note(comparison))
        elif comparison.verdict == "same":
            counts.passed += 1
            counts.largest_deviation = max(counts.largest_deviation, comparison.largest)

    def _comparison(self, record: "Record", path: Path, name: str) -> "Comparison":
        """Compare; a recipe in low precision that is not its baseline bit for bit is put back on the stored states."""
        baseline = load_baseline(self._session.shown(path), self._accept)
        comparison = compare(baseline, record)
        if comparison.verdict == "same" or not (baseline.calibration and self._session.training_of(record)):
            return comparison
        states = load_states(path, baseline, self._accept)
        return compare(baseline, self._rerun(record, name, states, "put back on stored states", Variation(), {}))

    def _failure(self, comparison: "Comparison", path: Path) -> str:
        kept = self._session.output / "records" / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(comparison.record.to_text(), encoding="utf-8")
        look = [f"{self._session.shown(kept)}   (baseline: {self._session.shown(path)})"]
        look += [f"tensorboard --logdir {self._session.shown(self._session.tensorboard)}"]
        return report.failure(comparison, test=self._item.nodeid, look=look, accept=self._accept)


def device_of(item: pytest.Item) -> str | None:
    """Return the value of a test's `device` parameter."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(devices.PARAMETER) if callspec else None


def skip_unless_writer(item: pytest.Item) -> None:
    """Skip a test that would write the same baselines from a second device."""
    device = device_of(item)
    if device is None or item.get_closest_marker("device"):
        return
    chosen = devices.writer(item.config)
    if device != chosen:
        pytest.skip(f"baselines are written on {chosen}, one for all devices")


def regenerate_command(item: pytest.Item, session: Session) -> str:
    """Return the command line that makes this run of one test its baseline, from where pytest was started."""
    path, colons, test = item.nodeid.partition("::")
    place = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    words = ["pytest", f"{place}{colons}{test}", f"--mpl-generate-path={session.shown(session.baselines)}"]
    device, cifar10 = device_of(item), item.config.getoption("--cifar10")
    if device and device != devices.writer(item.config):
        words.append(f"--device={device}")
    if cifar10:
        words.append(f"--cifar10={cifar10}")
    return shlex.join(words)
