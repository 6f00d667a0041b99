"""Accepted baselines as a table for the pull request."""

from collections.abc import Sequence

from harness.candidates import Candidate
from harness.report.words import commit_text


__all__ = ["accepted_table"]


def accepted_table(accepted: Sequence[Candidate], reason: str) -> str:
    """Return Markdown: the reason, and a row a baseline."""
    rows = [f"| `{_cell(c.name)}` | {_cell(c.difference)} | {_cell(commit_text(c.provenance))} |" for c in accepted]
    head = ["| baseline | how it differs from the former one | measured at commit |", "|---|---|---|"]
    return "\n".join([f"Baselines accepted: {_cell(reason)}", "", *head, *rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
