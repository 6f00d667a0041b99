"""The section that ends a session."""

import os
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.atomic_files import scraps
from harness.baselines.origin import git_output
from harness.baselines.store import stored_files
from harness.errors import OutputError
from harness.inert import inert
from harness.plugin.messages import skip_reason
from harness.plugin.options import NO_CIFAR10
from harness.plugin.session import Session
from harness.report.words import number


def write_summary(reporter: pytest.TerminalReporter, session: Session) -> None:
    """Write the section, if this session had anything to do with training."""
    lines = [
        *_doing(session),
        *_trainings(session),
        *_comparisons(session),
        *_ledger(session),
        *_report(session),
        *_skips(reporter),
    ]
    lines += [*_scraps(session), *session.counts.problems]
    if lines:
        reporter.ensure_newline()
        reporter.section("training regression")
        for line in lines:
            reporter.line(inert(line))  # names, and what baselines say of themselves
    if session.report.is_written:
        _tell_github(reporter, session)


def _tell_github(reporter: pytest.TerminalReporter, session: Session) -> None:
    """Annotate failures and what is not judged, and append to the job's summary, if this is a job of GitHub's."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from harness.report.markdown import annotation

        reporter.ensure_newline()
        for finding in session.report.findings:
            if not (finding.passed and finding.is_judged):
                reporter.line(annotation(finding))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(session.report.markdown.read_text(encoding="utf-8"))
        except OSError as error:
            reporter.line(str(OutputError.of(path=summary, reason=error)))


def _doing(session: Session) -> Iterator[str]:
    if session.report.findings or session.counts.done or session.counts.trainings:
        yield session.doing()


def _trainings(session: Session) -> Iterator[str]:
    counts = session.counts
    if counts.trainings:
        yield from sorted(counts.trainings)
        yield f"{number(len(counts.trainings), 'training')} in {counts.seconds:.1f} s"
        yield f"look: tensorboard --logdir {session.shown(session.tensorboard)}"


def _comparisons(session: Session) -> Iterator[str]:
    counts = session.counts
    if not (session.report.findings or counts.done):
        return
    from harness.report.session_text import comparison_lines

    yield from comparison_lines(
        session.report.findings,
        generated=counts.number("generated"),
        not_compared=counts.number("not compared"),
        notes=counts.notes,
        accept_all=session.accept_command(),
        commit=_commit(session),
        strict=session.strict,
    )


def _commit(session: Session) -> str:
    """Return the command line that has git take the baselines, those too that it was told to ignore (*.png, say)."""
    files = stored_files(session.baselines) if session.counts.number("generated") else []
    ignored = files and git_output(session.baselines, "check-ignore", "--", *files)
    return shlex.join(["git", "add", *(["--force"] if ignored else []), str(session.shown(session.baselines))])


def _report(session: Session) -> Iterator[str]:
    if session.report.findings:
        from harness.report.session_text import cost_lines, trends

        yield from cost_lines(session.report.findings)
        yield from trends(session.report.findings)
    if session.report.is_written and session.report.failed:
        yield f"report: {session.shown(session.report.page)}"
    elif session.report.is_written:
        page = shlex.join(["harness", "report", *session.output_option, "--open"])
        yield f"report: {session.shown(session.report.markdown)}; as a page: {page}"
    if session.report.is_written and session.is_makeshift:
        yield "the project cannot be written to: --training-output=DIR names a folder for what a session leaves"


def _skips(reporter: pytest.TerminalReporter) -> Iterator[str]:
    reasons = Counter(skip_reason(report) for report in reporter.stats.get("skipped", ()))
    for reason, count in sorted(reasons.items()):
        if reason.startswith("this machine has no "):
            yield f"{number(count, 'test')} skipped: {reason}"
        elif reason.startswith(NO_CIFAR10.what):
            yield f"{number(count, 'test')} skipped: {NO_CIFAR10.what}; {NO_CIFAR10.fix}"


def _ledger(session: Session) -> Iterator[str]:
    """Say what became of the baselines, and which nobody knows; in strict mode these are a problem, which is said."""
    from harness.report.ledger import ledger_lines

    ledger = session.report.ledger
    if ledger is None:
        return
    yield from ledger_lines(ledger)
    folder = session.shown(session.baselines)
    if ledger.unknown and (ledger.shard or not session.strict):
        yield f"{number(len(ledger.others), 'baseline')} in {folder} not owned by these tests: {ledger.unknown}"
    if elsewhere := len(ledger.others) - len(ledger.orphans) if not ledger.unknown else 0:
        yield f"{number(elsewhere, 'baseline')} in {folder} owned by tests that were not collected"
    if ledger.orphans and not session.refuses_orphans:
        yield f"{number(len(ledger.orphans), 'baseline')} in {folder} that no test claims:"
        yield from (f"  {name}" for name in ledger.orphans)


def _scraps(session: Session) -> Iterator[str]:
    """Say that an earlier run was killed while it wrote, if it left something."""
    if session.report.ledger and (found := scraps(session.baselines)):
        yield (
            f"{number(len(found), 'unfinished file')} in {session.shown(session.baselines)}, of a run that was killed "
            "or is under way; the baselines are whole, delete what is left over:"
        )
        yield from (f"  {name}" for name in found)
