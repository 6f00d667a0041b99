"""Which baselines the tests of a session own, and what pytest said of these tests: what its ledger is made of."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from harness.atomic_files import write
from harness.baselines.store import baseline_name, claim_of, folded, holds_records, shared_name, stamp, stamps
from harness.elsewhere.sessions import reason
from harness.errors import HarnessError, SuiteError
from harness.explaining.files_read import noted
from harness.plugin import whole_project
from harness.plugin.changed_lines import ChangedLines
from harness.plugin.command_line import from_controller
from harness.plugin.gated_test import GatedTest, id_of
from harness.plugin.messages import cause_of, refuse, skip_reason
from harness.plugin.ownership import MARKER, is_ours, uses
from harness.plugin.selection import deal, select
from harness.plugin.session import Session
from harness.plugin.verdict import objections


if TYPE_CHECKING:
    from harness.report.finding import Finding
    from harness.report.ledger import Done, Ledger, Outcome


CLAIMS = pytest.StashKey["Claims"]()
_FILE = "claims.json"
_NOTED = ("files", "_nodeids", "_beside", "_left_out", "uncollected", "doubt")
"""What a process that has collected tests leaves for one that has not."""


class Claims:
    """Hooks that note who owns what."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.changes = ChangedLines(session)
        self._owners: dict[str, str] = {}
        self.reported: dict[str, Outcome] = {}  # by pytest's id, which several tests outside the root may share
        self._nodeids: dict[str, str] = {}  # id of a test to pytest's
        self.files: dict[str, list[str]] = {}  # id of a test to the files that it owns
        self._beside: dict[str, list[int]] = {}  # figures that are stored beside their tests, and what tells a change
        self._left_out: list[str] = []
        self.uncollected: dict[str, Outcome] = {}  # files that were skipped when they were collected, or failed
        self.is_empty_shard = False
        self._stamps: dict[str, list[int]] = {}
        self.doubt = ""  # why tests that own baselines may not be among these

    def pytest_sessionstart(self) -> None:
        """Note which baselines stand, before a test can touch them, and from now on which files tests read."""
        with contextlib.suppress(HarnessError, OSError):  # said when they are needed
            if self._session.generate_path is not None or self._session.baselines.exists():  # else a guest
                noted()
            self._stamps = stamps(self._session.baselines)
        if self._session.demands_all and self._concludes:
            self._session.report.forget()
        with self._session.report.noted():
            self.changes.watch(lambda item: id_of(item) in self.files or uses(item, "training"))

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Note what each test owns, and leave out those that this session is not to run."""
        try:
            for item in items:
                self._note(item)
            if self.files and not config.option.collectonly:
                self._session.check_generating()
                self._session.open_output()
                self._session.listen()
            select(config, self._session, items, self.files)
            self.is_empty_shard = deal(config, items, self._session.shard)
        except HarnessError as error:
            refuse(config, error)

    def _note(self, item: pytest.Item) -> None:
        marker = item.get_closest_marker(MARKER)
        if not is_ours(item):
            self.doubt = self.doubt or ("figure tests that are left to pytest-mpl may own them" if marker else "")
            return
        name, baselines = GatedTest(item, self._session).name, self._session.baselines
        files = [f"{name}.json"] if uses(item, "training_regression") else []
        if marker:
            files.append(str(marker.kwargs.get("filename", f"{name}.png")))
            place = item.path.parent / str(marker.kwargs.get("baseline_dir") or baselines) / files[-1]
            if place.parent != baselines and place.exists():
                self._beside[str(place)] = stamp(place)
        for file in files:
            self._claim(file, name)
        if files:
            self.files.setdefault(id_of(item), []).extend(files)
            self._nodeids[id_of(item)] = item.nodeid

    def _claim(self, file: str, owner: str) -> None:
        """Note whose a file is; names that differ in case or in Unicode's form are one file on some systems."""
        first = self._owners.setdefault(folded(file), owner)
        if first != owner:
            raise SuiteError.shared_baseline(file=file, first=first, second=owner)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note which files were skipped as a whole (`pytest.importorskip`) or cannot be collected, and why."""
        if not report.passed:
            self.uncollected[report.nodeid] = _outcome(report)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note which tests do not run."""
        self._left_out += [id_of(item) for item in items]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Leave what was noted for a process that has not collected the tests itself."""
        if session.testsfailed:
            self.doubt = "not all tests could be collected"
        if place := self._asked():
            with self._session.report.noted():
                write(place, json.dumps({name: getattr(self, name) for name in _NOTED}).encode())

    def _asked(self) -> Path | None:
        in_worker = from_controller(self._session.config)
        return self._session.shared / _FILE if in_worker else whole_project.asked()

    def _read(self, place: Path) -> None:
        if place.exists():
            vars(self).update(json.loads(place.read_text(encoding="utf-8")))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test: failing counts more than being skipped, and that more than passing."""
        former = self.reported.get(report.nodeid)
        weighs = former is None or former.word == "passed" if report.skipped else former is None
        if report.failed or (weighs and (report.skipped or report.when == "call")):
            self.reported[report.nodeid] = _outcome(report)

    def conclude(self) -> None:
        """Write the report of the session, and note why it must not be green, if it must not."""
        session = self._session
        if not self._concludes:
            return
        if not self.files and session.report.is_kept:
            self._read(session.shared / _FILE)
        session.report.collect()
        if self.files or session.report.findings or (self._stamps and self._owns):
            now = stamps(session.baselines)
            ledger = self._ledger(session.report.findings, {**self._stamps, **now})
            for error in objections(session, ledger, self.outcomes, self._touched(now)):
                session.counts.add_problem(error)
            problems = [problem.partition("\n")[0] for problem in session.counts.problems]
            ledger = self.changes.judged(ledger, {test.partition("::")[0] for test in self.files})
            session.finish(msgspec.structs.replace(ledger, problems=problems))

    @property
    def _owns(self) -> bool:
        """Whether baselines that stand are missed where no test is gated."""
        session, stated = self._session, self._session.config.getini("training_baselines")
        return session.strict or (session.in_ci and bool(stated or holds_records(session.baselines)))

    @property
    def _concludes(self) -> bool:
        """Whether this process, of several, has the last word on a session that runs tests."""
        config = self._session.config
        return not (from_controller(config) or config.option.collectonly)

    @property
    def outcomes(self) -> "dict[str, Outcome]":
        """Id of each test of ours that ran to what pytest said of it."""
        ids = {id_: self.reported.get(nodeid) for id_, nodeid in self._nodeids.items()}
        return self.reported | {id_: outcome for id_, outcome in ids.items() if outcome}

    def _touched(self, now: Mapping[str, list[int]]) -> list[str]:
        """Return the baselines that are not what they were when this session began, though it writes none."""
        if self._session.generate_path or self._session.verifies or self._session.against:
            return []
        names = [name for name in {**self._stamps, **now} if now.get(name) != self._stamps.get(name)]
        return sorted([*names, *(place for place, before in self._beside.items() if stamp(Path(place)) != before)])

    def _ledger(self, findings: "list[Finding]", files: Iterable[str]) -> "Ledger":
        """Return what became of each baseline that the collected tests own, of the files that stood or stand."""
        from harness.report.ledger import Ledger, entries, found

        against = self._session.against
        done: Done = {(name, test): (fate, reason) for name, test, fate, reason in self._session.counts.done}
        checked = dict(found(findings))
        if against:
            checked = {place: (fate, reason or against.was(place[1])) for place, (fate, reason) in checked.items()}
        done = {**done, **checked, **self._skips()}
        owners: dict[str, list[str]] = {}
        for test, owned_files in self.files.items():
            for file in owned_files:
                owners.setdefault(folded(file), []).append(test)
        stored = sorted(files)
        names = {shared_name(file) for file in stored if not file.endswith(".safetensors")}
        names |= {Path(place).name for place in self._beside}
        owned = [name for name in names if claim_of(name) in owners]
        claims = owners.keys() | {claim_of(name) for name, _ in done}
        others = [] if against else [file for file in stored if claim_of(file) not in claims]
        orphans, unknown = self._orphans(others) if others else ([], "")
        return Ledger(
            entries=entries(owned, owners, done, self._left_out, self.outcomes, is_rank=bool(self._session.launched)),
            others=others,
            orphans=orphans,
            unknown=unknown,
            shard=self._session.shard,
            against=against.title if against else "",
            commit=against.commit if against else "",
            vanished=against.vanished(self.files) if against else [],
            failed=self._failed_otherwise(findings),
        )

    def _failed_otherwise(self, findings: "list[Finding]") -> list[str]:
        """Return the tests that failed, but for those of which a check did."""
        ids = {nodeid: id_ for id_, nodeid in self._nodeids.items()}
        failed = (ids.get(nodeid, nodeid) for nodeid, outcome in self.reported.items() if outcome.word == "failed")
        return sorted({*failed} - {finding.test for finding in findings if not finding.passed})

    def _skips(self) -> "Done":
        """Return the baselines of files that were skipped as a whole: by name, since nobody knows their tests."""
        return {
            (shared_name(file), nodeid): ("skipped", reason)
            for nodeid, (word, reason) in self.uncollected.items()
            for file in self._stamps
            if word == "skipped" and file.startswith(f"{baseline_name(nodeid)}-")
        }

    def _orphans(self, others: list[str]) -> tuple[list[str], str]:
        """Return which files that these tests do not own belong to no test, or why that is not known."""
        session, config = self._session, self._session.config
        if self.doubt or whole_project.lies_outside(config):
            return [], self.doubt or "tests outside the root of the project may own them"
        if session.shard:
            return [], "another part of the tests may own them"
        if not whole_project.is_narrowed(config):
            return others, ""
        if not session.strict:
            return [], "only a part of the tests was collected"
        owned, doubt = whole_project.owned_files(session)
        return ([], doubt) if doubt else ([file for file in others if claim_of(file) not in owned], "")


def _outcome(report: pytest.CollectReport | pytest.TestReport) -> "Outcome":
    """Return what pytest says of a test, or of a file, and why."""
    from harness.report.ledger import Outcome

    if report.failed:
        return Outcome("failed", cause_of(report) or reason(str(report.longrepr)))
    if report.skipped:
        return Outcome("xfailed" if hasattr(report, "wasxfail") else "skipped", skip_reason(report))
    return Outcome("passed")
