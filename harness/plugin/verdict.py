"""Whether a session is green: what its ledger and its findings say, whatever its tests did with their exceptions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError, SuiteError
from harness.plugin.session import SESSION, Session


if TYPE_CHECKING:
    from harness.report.ledger import Ledger, Outcome


def objections(
    session: Session, ledger: "Ledger", outcomes: "Mapping[str, Outcome]", touched: Sequence[str]
) -> Iterator[HarnessError]:
    """Yield why a session must not be green, beside its failed tests."""
    failed = {finding.test: finding.headline for finding in session.report.findings if not finding.passed}
    if swallowed := [test for test in failed if test not in outcomes or outcomes[test].word != "failed"]:
        yield SuiteError.swallowed(tests=[f"{test} ({failed[test]})" for test in swallowed])  # nobody else says it
    if session.demands_all and session.counts.flaky:
        yield SuiteError.rerun(tests=sorted({*session.counts.flaky}))
    unreached = [entry for entry in ledger.unreached if entry.test not in failed]
    why = "--training-strict" if session.strict else "CI is set"
    if session.demands_all and unreached:
        yield SuiteError.unreached(baselines=[f"{entry.baseline} ({entry.test})" for entry in unreached], why=why)
    if session.demands_all and touched:
        yield SuiteError.touched(files=touched)
    if session.strict and not ledger.shard:
        if ledger.baselines and all(entry.fate in ("skipped", "deselected") for entry in ledger.baselines):
            yield SuiteError.nothing_compared(count=len(ledger.baselines))
        if ledger.unknown:
            folder = session.shown(session.baselines)
            yield SuiteError.unknown_owners(files=ledger.others, folder=folder, reason=ledger.unknown)
    if session.refuses_orphans and ledger.orphans:
        yield SuiteError.unclaimed(files=ledger.orphans, folder=session.shown(session.baselines), why=why)


class Status:
    """The last word on the exit status: no session is green that had a failed test, or a problem of ours."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around whatever else decides on it
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Fail a session that was told to end well."""
        yield
        red = session.testsfailed or session.config.stash[SESSION].counts.problems
        if red and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
