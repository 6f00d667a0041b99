"""A failure as an annotation: GitHub shows it at the test's line."""

from harness.report.results import result_headline
from harness.results import Result


__all__ = ["annotation"]


def annotation(result: Result) -> str:
    """Return the workflow command that annotates a failure.

    The escapes are those of GitHub's own toolkit (`packages/core/src/command.ts` of actions/toolkit).
    """
    facts = {"file": result["file"], "line": str(result["line"]), "title": result_headline(result)}
    properties = ",".join(f"{name}={_property(value)}" for name, value in facts.items())
    return f"::error {properties}::{_data(result['text'])}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
