"""The section that ends a session."""

from collections import Counter
from collections.abc import Iterator

import pytest

from harness.baselines.atomic_files import scraps
from harness.inert import inert
from harness.plugin.ci import tell_github
from harness.plugin.options import NO_CIFAR10
from harness.plugin.session import Session
from harness.report.words import number


def write_summary(reporter: pytest.TerminalReporter, session: Session) -> None:
    """Write the section, if this session had anything to do with training."""
    lines = [*_trainings(session), *_comparisons(session), *_report(session), *_skips(reporter), *_orphans(session)]
    lines += [*_scraps(session), *session.counts.problems]
    if lines:
        reporter.ensure_newline()
        reporter.section("training regression")
        for line in lines:
            reporter.line(inert(line))  # names, and what baselines say of themselves
    if session.outcome.findings:
        tell_github(reporter, session.outcome.findings, session.outcome.markdown if session.outcome.reported else None)


def _trainings(session: Session) -> Iterator[str]:
    counts = session.counts
    if counts.trainings:
        yield from sorted(counts.trainings)
        yield f"{number(len(counts.trainings), 'training')} in {counts.seconds:.1f} s"
        yield f"look: tensorboard --logdir {session.shown(session.tensorboard)}"


def _comparisons(session: Session) -> Iterator[str]:
    from harness.report.session_text import comparison_lines

    counts = session.counts
    yield from comparison_lines(
        session.outcome.findings,
        generated=counts.generated,
        not_compared=counts.not_compared,
        notes=counts.notes,
        accept_all=session.accept_command(),
        strict=session.strict,
    )


def _report(session: Session) -> Iterator[str]:
    if session.outcome.findings:
        from harness.report.session_text import trends

        yield from trends(session.outcome.findings)
    if session.outcome.reported and session.outcome.failed:
        yield f"report: {session.shown(session.outcome.page)}"
    elif session.outcome.reported:
        yield f"report: {session.shown(session.outcome.markdown)}; as a page: harness report --open"


def _skips(reporter: pytest.TerminalReporter) -> Iterator[str]:
    reasons = Counter(_reason(report) for report in reporter.stats.get("skipped", ()))
    for reason, count in sorted(reasons.items()):
        if reason.startswith("this machine has no "):
            yield f"{number(count, 'test')} skipped: {reason}"
        elif reason.startswith(NO_CIFAR10.what):
            yield f"{number(count, 'test')} skipped: {NO_CIFAR10.what}; {NO_CIFAR10.fix}"


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return reason.removeprefix("Skipped: ")


def _orphans(session: Session) -> Iterator[str]:
    if found := session.counts.orphans:
        strict = ", a failure under --strict" if session.strict else ""
        yield f"{number(len(found), 'baseline')} in {session.shown(session.baselines)} that no test claims{strict}:"
        yield from (f"  {name}" for name in found)


def _scraps(session: Session) -> Iterator[str]:
    """Say that an earlier run was killed while it wrote, if it left something."""
    if session.counts.claimed and (found := scraps(session.baselines)):
        yield (
            f"{number(len(found), 'unfinished file')} in {session.shown(session.baselines)}, of a run that was killed "
            "or is under way; the baselines are whole, delete what is left over:"
        )
        yield from (f"  {name}" for name in found)
