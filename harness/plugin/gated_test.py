"""A test as the gate sees it: its device, its baselines' files, the commands that write and accept them."""

import contextlib
import functools
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.baselines.failed import Candidate, digest, offer, withdraw
from harness.baselines.folder import spelt_out
from harness.baselines.origin import sources
from harness.baselines.store import baseline_name
from harness.errors import OutputError
from harness.explaining.files_read import texts_read
from harness.plugin import devices
from harness.plugin.session import Session
from harness.recording.imported import told


if TYPE_CHECKING:
    from harness.explaining.blame import Changed
    from harness.record import Baseline
    from harness.report.check import Check
    from harness.report.ledger import Fate


_REPEAT = "__pytest_repeat_step_number"
"""Parameter of pytest-repeat, whose repetitions are one test."""


def id_of(item: pytest.Item) -> str:
    """Return what tells a test from all others: its file, from pytest's root, and its name in there.

    It is pytest's own id, but for tests outside the root: of these pytest drops the folders, and two have one id; and
    but for what pytest-repeat adds.
    """
    return _id(item, _values(item))


def shared_id(item: pytest.Item) -> str:
    """Return the id that a test has on all devices: it has one float64 baseline."""
    values, device = _values(item), devices.device_of(item)
    if device in values:
        values.remove(device)  # of two that are equal, either: what is left is the same
    return _id(item, values)


def _id(item: pytest.Item, values: Sequence[str]) -> str:
    nodeid = item.nodeid.removesuffix(f"[{callspec.id}]") if (callspec := _callspec(item)) else item.nodeid
    named = nodeid + (f"[{'-'.join(values)}]" if values else "")
    file = next((node for node in item.listchain() if isinstance(node, pytest.File)), None)
    return _from_root(file.path, item.config.rootpath) + named.removeprefix(file.nodeid) if file else named


def _callspec(item: pytest.Item) -> Any:
    return getattr(item, "callspec", None)


def _values(item: pytest.Item) -> list[str]:
    """Return the ids of a test's parameters, but for its number among repetitions."""
    if not (callspec := _callspec(item)):
        return []
    values = list(getattr(callspec, "_idlist", None) or callspec.id.split("-"))  # the exact list is pytest's own
    if _REPEAT in callspec.params:
        number = f"{callspec.params[_REPEAT] + 1}-"
        values.remove(next(value for value in reversed(values) if value.startswith(number)))
    return values


@functools.lru_cache(maxsize=1024)  # a file has many tests
def _from_root(path: Path, root: Path) -> str:
    """Return a path from the root, with .. where it is outside; absolute on another drive."""
    folders = path.parents
    above = root if root in folders else next(filter(root.samefile, filter(Path.exists, folders)), None)
    if above:  # the root itself, or where a link leads to it
        return path.relative_to(above).as_posix()
    with contextlib.suppress(ValueError):
        path = Path(os.path.relpath(path, root))
    return path.as_posix()


@dataclass(frozen=True)
class GatedTest:
    """One test and the session that it runs in."""

    item: pytest.Item
    session: Session

    @property
    def id(self) -> str:
        """The test's id, which no other test has."""
        return id_of(self.item)

    @property
    def device(self) -> str | None:
        """Value of the test's `device` parameter."""
        return devices.device_of(self.item)

    @property
    def name(self) -> str:
        """Name of its baseline: the same on all devices, and that of another commit's test if it is held against it."""
        test, against = shared_id(self.item), self.session.against
        return baseline_name(against.former(test) if against else test)

    def record_file(self, name: str) -> Path:
        """Return the file of a record's baseline; the name tells several records of the test apart."""
        return self.session.baselines / f"{self.name}{f',{baseline_name(name)}' if name else ''}.json"

    @property
    def regenerate_command(self) -> str:
        """The command line that makes this run of the test its baseline, or has another commit make it again."""
        if self.session.against:
            return shlex.join(["rm", "-r", str(self.session.against.kept.folder)])
        folder = self.session.shown(self.session.baselines)
        return self._command(f"--mpl-generate-path={folder}", *self._device_option)

    @property
    def accept_command(self) -> str:
        """The same for a result that differs: what another commit's tests made is not to be replaced by it."""
        return "" if self.session.against else self.regenerate_command

    @property
    def compare_command(self) -> str:
        """The command line that compares this test with its baseline, from where pytest was started."""
        return self._command()

    def _command(self, *words: str) -> str:
        """Return a command line that runs this test as this session does."""
        path, colons, test = self.id.partition("::")
        config = self.item.config
        place = os.path.relpath(config.rootpath / path, config.invocation_params.dir)
        given = {"--config-file": "inifilename", "--rootdir": "rootdir", "--training-cifar10": "--training-cifar10"}
        values = {option: config.getoption(name) for option, name in given.items()}
        options = [f"{option}={value}" for option, value in values.items() if value]
        return shlex.join(["pytest", f"{place}{colons}{test}", *words, *options])

    @property
    def _device_option(self) -> list[str]:
        """What a command line needs to have the test's baselines written on its device."""
        written = self.device in (None, devices.writer(self.item.config))
        return [] if written else [f"--training-device={self.device}"]

    def check(self, baseline: str, accept: str, name: str = "", where: str = "") -> "Check":
        """Return what is the same in every finding of a check; `where` a divergence comes from, as `net.py:42`."""
        from harness.report.check import Check

        file, _, line = where.rpartition(":")
        path = spelt_out(self.item.config.rootpath / file) if file else self.item.path
        return Check(self.id, name, baseline, self._shown(path), int(line or 1 + (self.item.location[1] or 0)), accept)

    def _shown(self, path: Path) -> str:
        """Return a file as annotations name it: relative to the checkout, or to pytest's root."""
        root = self.item.config.rootpath
        checkout = Path(os.environ.get("GITHUB_WORKSPACE") or root)
        return path.relative_to(checkout).as_posix() if path.is_relative_to(checkout) else _from_root(path, root)

    def sources(self, named: Iterable[Path] = ()) -> dict[str, str]:
        """Return the project's files that the test's results come from (`baselines.origin.sources`)."""
        session = self.session
        root, apart = session.config.rootpath, [session.output, session.read_baselines, session.baselines]
        read = texts_read(root, session.started, apart)
        return sources(root, session.started, [*named, *told(session.imported), *read])

    def blame(self, baseline: "Baseline", file: Path, present: Iterable[str], where: str = "") -> "list[Changed]":
        """Return the files that are not what a baseline was made from, the likeliest cause first, tests last."""
        from harness.explaining.blame import blame

        root, tests = self.item.config.rootpath, self.item.session.items
        last = {_from_root(each.path, root) for each in tests if isinstance(each, pytest.Function)}
        return blame(self.session.git, baseline, file, [*present], last=last, where=where)

    def skip_unless_writer(self) -> None:
        """Skip the test if it would write the same baselines from a second device."""
        if obstacle := self._obstacle:
            pytest.skip(obstacle)

    def is_apart(self, baseline: Path) -> bool:
        """Tell whether the commit that this session is held against has no such baseline, and note why.

        Raises:
            TreeError: the test could not be run there, and nothing may be left out.
        """
        against = self.session.against
        if against is None or os.path.lexists(baseline):
            return False
        trouble = against.trouble(self.id)
        if trouble and self.session.demands_all:
            raise trouble
        fate: Fate = "not compared" if trouble else "new"
        reason = trouble.what if trouble else f"not in {against.title}"
        self.session.counts.did(baseline.name, self.id, fate, reason)
        return True

    @property
    def _obstacle(self) -> str:
        """Why no result on this test's device becomes a baseline; empty if one does."""
        is_writer = not self._device_option or self.item.get_closest_marker("device")
        return "" if is_writer else f"baselines are written on {devices.writer(self.item.config)}, one for all devices"

    def keep_failed(
        self,
        baseline: Path,
        data: bytes,
        *,
        difference: str,
        obstacle: str = "",
        options: Sequence[str] = (),
        named: Sequence[Path] = (),
        check: str = "",
    ) -> tuple[Path | None, str]:
        """Keep the result of a failed comparison, so that `harness accept` needs no other training.

        Args:
            baseline: the file that it was compared with, or that there is not yet.
            data: the result.
            difference: in words.
            obstacle: what the result lacks to be a whole baseline; empty if nothing.
            options: that making the baseline by training again takes beside the usual ones.
            named: files that the test says the result depends on.
            check: which of the test's checks it is of, by the name that it gave.

        Returns:
            The result's file, None if it is not kept (a baseline outside the project, a full disk); and the command
            line that makes it the baseline.
        """
        session, root, place = self.session, self.item.config.rootpath, spelt_out(baseline)
        if session.against:
            return None, ""
        command = " ".join([self.regenerate_command, *options])
        if not place.is_relative_to(root):
            return None, command
        candidate = Candidate(
            test=self.id,
            check=check,
            baseline=place.relative_to(root).as_posix(),
            compared=digest(baseline.read_bytes()) if baseline.exists() else "",
            result="",
            difference=difference,
            sources=self.sources(named),
            obstacle=obstacle or self._obstacle,
            options=[*self._device_option, *options],
            origin=session.origin,
        )
        try:
            kept = offer(session.failed, candidate, data)
        except OSError as error:
            session.report.note(error)
            return None, command
        return kept, command if candidate.obstacle else session.accept_command(candidate.name, place.parent)

    def withdraw(self, baseline: Path) -> None:
        """Forget the result that an earlier session kept of this test, when it was compared with the same baseline.

        Raises:
            OutputError: it cannot be removed.
        """
        if self.session.against:
            return
        try:
            withdraw(self.session.failed, baseline.name, self.id)
        except OSError as error:
            raise OutputError.of(path=self.session.shown(self.session.failed), reason=error) from error
