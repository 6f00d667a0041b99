"""The `training_regression` fixture: a record against its baseline."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import report
from harness.baselines import baseline_name, load_baseline, save_baseline
from harness.comparison import compare
from harness.errors import CheckedTwiceError
from harness.plugin import devices
from harness.plugin.session import Session


if TYPE_CHECKING:
    from harness.comparison import Comparison
    from harness.record import Record

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

    def check(self, record: "Record", *, name: str = "") -> None:
        """Compare a record with this test's baseline, or write it under --mpl-generate-path.

        Args:
            record: of `training(recipe)` or of a `Recorder`.
            name: tells several records of one test apart.

        Raises:
            CheckedTwiceError: the test has checked a record of this name.
            BaselineError: the baseline is missing, broken, or cannot be written.
            NonFiniteError: the record to be written holds NaN or infinity.
        """
        __tracebackhide__ = True
        if name in self._names:
            raise CheckedTwiceError(name=name, nodeid=self._item.nodeid)
        self._names.add(name)
        stem = baseline_name(self._item.nodeid, device_of(self._item)) + (f",{baseline_name(name)}" if name else "")
        self._session.publish(record, f"{stem}-{record.device}")
        path = self._session.baselines / f"{stem}.json"
        if self._session.generate_path:
            self._generate(record, path)
        else:
            self._compare(record, path)

    def _generate(self, record: "Record", path: Path) -> None:
        skip_unless_writer(self._item)
        save_baseline(path, record)
        self._session.counts.generated += 1

    def _compare(self, record: "Record", path: Path) -> None:
        __tracebackhide__ = True
        baseline = load_baseline(self._session.shown(path), regenerate_command(self._item, self._session))
        comparison = compare(baseline, record)
        counts = self._session.counts
        counts.records_compared += 1
        if comparison.verdict == "drift" or comparison.renamed:
            counts.notes.append(report.note(comparison))
        counts.drifted += comparison.verdict == "drift"
        if comparison.verdict == "different" or (comparison.verdict == "drift" and self._session.strict):
            pytest.fail(self._failure(comparison, path), pytrace=False)
        if comparison.verdict == "same":
            counts.passed += 1
            counts.largest_deviation = max(counts.largest_deviation, comparison.largest)

    def _failure(self, comparison: "Comparison", path: Path) -> str:
        kept = self._session.output / "records" / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(comparison.record.to_text(), encoding="utf-8")
        look = [f"{self._session.shown(kept)}   (baseline: {self._session.shown(path)})"]
        look += [f"tensorboard --logdir {self._session.shown(self._session.tensorboard)}"]
        accept = regenerate_command(self._item, self._session)
        return report.failure(comparison, test=self._item.nodeid, look=look, accept=accept)


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
