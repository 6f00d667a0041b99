"""What GitHub Actions is told: annotations in the log, a job summary."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import OutputWriteError


if TYPE_CHECKING:
    from harness.results import Result

__all__ = ["tell_github"]


def tell_github(reporter: pytest.TerminalReporter, results: "Sequence[Result]", markdown: Path | None) -> None:
    """Annotate failures and append to the job's summary, if this is a job.

    Args:
        reporter: writes the log, which GitHub reads annotations from.
        results: of the session.
        markdown: file of the summary, if it could be written.
    """
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from harness.report import annotation

        reporter.ensure_newline()
        for result in results:
            if not result["passed"]:
                reporter.line(annotation(result))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and markdown:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown.read_text(encoding="utf-8"))
        except OSError as error:
            reporter.line(str(OutputWriteError(path=summary, reason=error.strerror or error)))
