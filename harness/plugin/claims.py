"""Which baselines the tests of a session own, and what pytest said of these tests: what its ledger is made of."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.baselines.atomic_files import check_writable, write
from harness.baselines.store import claim_of, folded, shared_name, stamps
from harness.errors import HarnessError, OutputError, SuiteError
from harness.plugin import whole_project
from harness.plugin.fixtures import MARKER, is_ours
from harness.plugin.gated_test import GatedTest, id_of
from harness.plugin.messages import refuse
from harness.plugin.selection import deal, select
from harness.plugin.session import Session
from harness.plugin.verdict import objections


if TYPE_CHECKING:
    from harness.report.finding import Finding
    from harness.report.ledger import Done, Ledger, Outcome


CLAIMS = pytest.StashKey["Claims"]()
_FILE = "claims.json"


class Claims:
    """Hooks that note who owns what.

    Args:
        session: the session's state.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._owners: dict[str, str] = {}
        self._outcomes: dict[str, Outcome] = {}  # by pytest's id, which several tests outside the root may share
        self._nodeids: dict[str, str] = {}  # id of a test to pytest's
        self.files: dict[str, list[str]] = {}  # id of a test to the files that it owns
        self._beside: list[str] = []  # names of figures that are stored beside their tests
        self._left_out: list[str] = []
        self._stamps: dict[str, tuple[int, int]] = {}
        self._doubt = ""  # why tests that own baselines may not be among these

    def pytest_sessionstart(self) -> None:
        """Note which baselines stand, before a test can touch them."""
        with contextlib.suppress(HarnessError, OSError):  # said when they are needed
            self._stamps = stamps(self._session.baselines)

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Note what each test owns, and leave out those that this session is not to run."""
        try:
            for item in items:
                self._note(item)
            if self.files and not config.option.collectonly:
                check_writable(self._session.output, OutputError.of)
            select(config, self._session, items, self.files)
            deal(config, items, self._session.shard)
        except HarnessError as error:
            refuse(config, error)

    def _note(self, item: pytest.Item) -> None:
        marker = item.get_closest_marker(MARKER)
        if not is_ours(item):
            self._doubt = self._doubt or ("figure tests that are left to pytest-mpl may own them" if marker else "")
            return
        name, baselines = GatedTest(item, self._session).name, self._session.baselines
        files = [f"{name}.json"] if "training_regression" in getattr(item, "fixturenames", ()) else []
        if marker:
            files.append(str(marker.kwargs.get("filename", f"{name}.png")))
            folder = item.path.parent / str(marker.kwargs.get("baseline_dir", baselines))
            self._beside += [files[-1]] if folder != baselines and (folder / files[-1]).exists() else []
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

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note which tests do not run."""
        self._left_out += [id_of(item) for item in items]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Leave what was noted for a process that has not collected the tests itself."""
        if session.testsfailed:
            self._doubt = "not all tests could be collected"
        if place := self._asked():
            with self._session.outcome.noted():
                write(
                    place, json.dumps([self.files, self._nodeids, self._beside, self._left_out, self._doubt]).encode()
                )

    def _asked(self) -> Path | None:
        in_worker = hasattr(self._session.config, "workerinput")
        return self._session.shared / _FILE if in_worker else whole_project.asked()

    def _read(self, place: Path) -> None:
        if place.exists():
            content = json.loads(place.read_text(encoding="utf-8"))
            self.files, self._nodeids, self._beside, self._left_out, self._doubt = content

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test: failing counts more than being skipped, and that more than passing."""
        from harness.report.ledger import Outcome

        former = self._outcomes.get(report.nodeid)
        if report.failed:
            self._outcomes[report.nodeid] = Outcome("failed")
        elif report.skipped and (former is None or former.word == "passed"):
            word = "xfailed" if hasattr(report, "wasxfail") else "skipped"
            self._outcomes[report.nodeid] = Outcome(word, skip_reason(report).partition("\n")[0])
        elif report.when == "call" and report.passed and former is None:
            self._outcomes[report.nodeid] = Outcome("passed")

    def conclude(self) -> None:
        """Write the report of the session, and note why it must not be green, if it must not."""
        config, session = self._session.config, self._session
        if hasattr(config, "workerinput") or config.option.collectonly:
            return
        if not self.files and session.outcome.is_kept:
            self._read(session.shared / _FILE)
        session.outcome.collect()
        if self.files or session.outcome.findings:
            ledger = self._ledger(session.outcome.findings)
            session.finish(ledger)
            for error in objections(session, ledger, self.outcomes, self._touched()):
                session.counts.add_problem(error)

    @property
    def outcomes(self) -> "dict[str, Outcome]":
        """Id of each test of ours that ran to what pytest said of it."""
        ids = {id_: self._outcomes.get(nodeid) for id_, nodeid in self._nodeids.items()}
        return self._outcomes | {id_: outcome for id_, outcome in ids.items() if outcome}

    def _touched(self) -> list[str]:
        """Return the baselines that are not what they were when this session began, though it writes none."""
        now, writes = stamps(self._session.baselines), self._session.generate_path or self._session.verifies
        names = {} if writes else {**self._stamps, **now}
        return sorted(name for name in names if now.get(name) != self._stamps.get(name))

    def _ledger(self, findings: "list[Finding]") -> "Ledger":
        """Return what became of each baseline that the collected tests own."""
        from harness.report.ledger import Ledger, entries, found

        done: Done = {(name, test): (fate, reason) for name, test, fate, reason in self._session.counts.done}
        done = {**done, **dict(found(findings))}
        owners: dict[str, list[str]] = {}
        for test, files in self.files.items():
            for file in files:
                owners.setdefault(folded(file), []).append(test)
        stored = sorted({**self._stamps, **stamps(self._session.baselines)})
        names = {shared_name(file) for file in stored if not file.endswith(".safetensors")} | {*self._beside}
        owned = [name for name in names if claim_of(name) in owners]
        claims = owners.keys() | {claim_of(name) for name, _ in done}
        others = [file for file in stored if claim_of(file) not in claims] if self.files else []
        orphans, unknown = self._orphans(others) if others else ([], "")
        return Ledger(
            entries=entries(owned, owners, done, self._left_out, self.outcomes),
            others=others,
            orphans=orphans,
            unknown=unknown,
            shard=self._session.shard,
        )

    def _orphans(self, others: list[str]) -> tuple[list[str], str]:
        """Return which files that these tests do not own belong to no test, or why that is not known."""
        session, config = self._session, self._session.config
        if self._doubt or whole_project.lies_outside(config):
            return [], self._doubt or "tests outside the root of the project may own them"
        if session.shard:
            return [], "another part of the tests may own them"
        if not whole_project.is_narrowed(config):
            return others, ""
        if not session.strict:
            return [], "only a part of the tests was collected"
        owned, doubt = whole_project.owned_files(session)
        return ([], doubt) if doubt else ([file for file in others if claim_of(file) not in owned], "")


def skip_reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return reason.removeprefix("Skipped: ")
