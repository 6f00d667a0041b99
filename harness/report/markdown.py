"""A session for pull requests: Markdown, and annotations at the lines of tests that failed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from harness.inert import inert
from harness.report.finding import Finding
from harness.report.ledger import EMPTY, Ledger, ledger_lines
from harness.report.session_text import (
    cost_lines,
    finding_headline,
    finding_lead,
    finding_place,
    finding_title,
    first_text,
    loosened_lines,
    session_text,
    size_text,
    trends,
)


_LIMIT = 60_000
"""Characters; a comment on GitHub holds 65,536."""
_ACTIVE = re.compile(r"[\\`*_{}\[\]()#+!|~@:$-]")
"""What Markdown or GitHub would read as more than text."""


def markdown(findings: Sequence[Finding], ledger: Ledger = EMPTY) -> str:
    """Return headline, the first failure's own, ledger, table of checks, and what failures, seeds and faults say.

    It is cut to what GitHub takes. What is not judged stands beside the failures, whether it passed or not.
    """
    shown = [finding for finding in findings if not (finding.passed and finding.is_judged)]
    passed = [finding for finding in findings if finding.passed and finding.is_judged]
    parts = [f"### Training regression: {session_text(findings)}\n"]
    parts += [_fenced(finding_lead(finding)) for finding in findings if not finding.passed and finding.training][:1]
    if lines := [*ledger_lines(ledger), *loosened_lines(findings), *trends(findings)]:
        parts.append(_fenced("\n".join(lines)))
    parts += [_table(shown), *map(_said, shown)] if shown else []
    if passed:
        parts.append(_folded("passed, with margins" if shown else "margins", _table(passed)))
    parts += [_said(finding) for finding in passed if finding.kind in ("equivalence", "power")]
    if lines := [*cost_lines(findings)]:
        parts.append(_folded("cost", _fenced("\n".join(lines))))
    return "\n".join(_within(parts))


def _within(parts: Sequence[str]) -> list[str]:
    """Return the parts that fit; one is left out as a whole, so that no table or fence stays open."""
    limit, kept = _LIMIT, []
    for part in parts:
        if len(part) < limit:
            limit -= len(part) + 1
            kept.append(part)
    left = len(parts) - len(kept)
    return [*kept, f"\nToo long for GitHub: {left} more in the report.\n"] if left else kept


def _table(findings: Iterable[Finding]) -> str:
    rows = [["verdict", "check", "test", "deviation", "first divergence"], ["---"] * 5]
    rows += [[*_cells(finding)] for finding in findings]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(finding: Finding) -> Iterator[str]:
    first = finding.training and finding.training.first
    yield f"**{finding.verdict}**" if not finding.passed else finding.verdict
    yield code(finding_title(finding))
    yield code(finding_place(finding))
    yield size_text(finding)
    yield code(first_text(first)) if first else ""


def code(text: str) -> str:
    """Return text that nothing in it can leave; a mention in it notifies nobody."""
    line = escape(" ".join(inert(text).split()), quote=False)
    return f"<code>{_ACTIVE.sub(lambda found: f'&#{ord(found[0])};', line)}</code>"


def _said(finding: Finding) -> str:
    return _folded(code(finding_title(finding)), _fenced(finding.text))


def _fenced(text: str) -> str:
    """Return text in a fence that nothing in it can end."""
    text = inert(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=2))
    return f"{fence}\n{text}\n{fence}\n"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def annotation(finding: Finding) -> str:
    """Return the workflow command that annotates a failure, or what is not judged although it passed.

    The escapes are those of GitHub's own toolkit (`packages/core/src/command.ts` of actions/toolkit).
    """
    facts = {"file": finding.file, "line": str(finding.line), "title": finding_headline(finding)}
    escaped = {name: _data(inert(value)).replace(":", "%3A").replace(",", "%2C") for name, value in facts.items()}
    properties = ",".join(f"{name}={value}" for name, value in escaped.items())
    return f"::{'warning' if finding.passed else 'error'} {properties}::{_data(inert(finding.text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
