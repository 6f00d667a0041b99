"""Continuous integration: what counts as one, and what GitHub is told of a session."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import OutputError


if TYPE_CHECKING:
    from harness.report.finding import Finding


def in_ci() -> bool:
    """Tell whether this is a continuous integration's run, in which a gate must not be green without comparing."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def tell_github(reporter: pytest.TerminalReporter, findings: "Sequence[Finding]", markdown: Path | None) -> None:
    """Annotate failures and what is not judged, and append to the job's summary, if this is a job.

    Args:
        reporter: writes the log, which GitHub reads annotations from.
        findings: of the session.
        markdown: file of the summary, if it could be written.
    """
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from harness.report.markdown import annotation

        reporter.ensure_newline()
        for finding in findings:
            if not (finding.passed and finding.is_judged):
                reporter.line(annotation(finding))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and markdown:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown.read_text(encoding="utf-8"))
        except OSError as error:
            reporter.line(str(OutputError.of(path=summary, reason=error)))
