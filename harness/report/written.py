"""The files of a report, written together; where a launcher started a session a rank, the first tells of the others."""

from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from msgspec import structs

from harness.atomic_files import write_all
from harness.errors import some
from harness.record.world import launch
from harness.report.failed_pictures import shown
from harness.report.finding import Finding
from harness.report.json_form import Results, left, to_text
from harness.report.ledger import Ledger
from harness.report.markdown import markdown
from harness.report.run import Run
from harness.report.words import number


_SAID = 3
"""Tests that are named of a rank."""


def write_report(folder: Path, findings: Sequence[Finding], ledger: Ledger, run: Run) -> None:
    """Write the files of a report: all, or none. A green session needs no page; `harness report` makes one."""
    failed = not all(finding.passed for finding in findings)
    texts = {"report.md": markdown(findings, ledger), "results.json": to_text(findings, ledger, run)}
    if failed:
        from harness.report.html.page import page

        texts["report.html"] = page(findings, shown(findings, folder), ledger, run)
    write_all({folder / name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()})
    if not failed:
        (folder / "report.html").unlink(missing_ok=True)  # of an earlier session that was red


def tell_of_ranks(first: Path, size: int, place: str) -> Ledger | None:
    """Have the report of the first rank say what became of the others, as far as they have ended: each calls this.

    Of so many ranks the others have theirs in the folder of the first one's, whose place a person reads. Return the
    ledger of the first rank; None if it has not ended, or was started at another time.
    """
    with FileLock(first / ".ranks.lock"):
        report = _of(launch(), first)
        if report is None:
            return None
        became = {rank: _became(_of(report.run.launch, first / f"rank{rank}")) for rank in range(1, size)}
        lines = [f"rank {rank} of {size}: {text}   {place}/rank{rank}" for rank, text in became.items()]
        ledger = structs.replace(report.ledger, ranks=lines)
        write_report(first, report.results, ledger, report.run)
        return ledger


def _of(launch: str, folder: Path) -> Results | None:
    """Return what a rank has left in its folder, if it was started with the others: an earlier one may lie there."""
    report = left(folder)
    return report if report and report.run.launch == launch else None


def _became(report: Results | None) -> str:
    """Say what became of a rank."""
    if report is None:
        return "no results of this run: it has not ended, or has left none"
    red = [found.test for found in report.results if not found.passed]
    checks = number(len(report.results), "check")
    if red:
        checks = f"{len(red)} of {checks} failed: {some(red, _SAID)}"
    else:
        checks = f"{checks} passed" if report.results else "nothing was compared"
    if otherwise := report.ledger.failed:
        checks += f"; {number(len(otherwise), 'test')} failed otherwise: {some(otherwise, _SAID)}"
    return checks
