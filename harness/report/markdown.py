"""A session for pull requests: Markdown, and annotations at the lines of tests that failed."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from harness.inert import inert
from harness.report.finding import Finding
from harness.report.ledger import EMPTY, Ledger, ledger_lines
from harness.report.session_text import (
    cost_lines,
    first_text,
    loosened_lines,
    session_text,
    size_text,
    trends,
)


_LIMIT = 50_000
"""Characters; a comment on GitHub holds 65,536, and the action that writes it indents what is in fences."""
_ROOM = _LIMIT // 4
"""Of them for the rows of one table: fifty or more."""
_FEW = 5
"""Checks that passed, or lines on costs, that are shown unfolded."""
_ACTIVE = re.compile(r"[\\`*_{}\[\]()#+!|~@:$-]|(?<=www)\.", re.IGNORECASE)
"""What Markdown or GitHub would read as more than text."""


def markdown(findings: Sequence[Finding], ledger: Ledger = EMPTY) -> str:
    """Return what a pull request is told: a first screen, and folded below it what each failure says in full.

    The screen holds the headline, the first failure's own with its line, blame and how to accept it, a table with
    failures first, and what is not judged. It is cut to what GitHub takes.
    """
    open_, passed = _parted(findings)
    failed = [found for found in findings if not found.passed]
    red = sorted(failed, key=lambda found: not found.training)  # trainings first: they know the cause
    costs = [*cost_lines(findings)]
    lines = [*ledger_lines(ledger), *loosened_lines(findings), *trends(findings)]
    lines += costs if len(costs) <= _FEW else []
    parts = [f"### Training regression: {session_text(findings)}\n"]
    parts += [_fenced(_lead(finding)) for finding in red[:1]]
    parts += [_table(open_)] if open_ else []
    parts += [_fenced("\n".join(lines))] if lines else []
    parts += [_folded(code(finding.place), _fenced(finding.text)) for finding in findings if _tells(finding)]
    parts += [_folded(f"{len(passed)} passed", _table(passed))] if passed else []
    parts += [_folded("cost", _fenced("\n".join(costs)))] if len(costs) > _FEW else []
    return "\n".join(_within(parts))


def _lead(finding: Finding) -> str:
    """Return the lines of a failure that a person reads first: what differs, where, who is to blame, how to accept."""
    labels = ("  where ", "  blame ", "  fix ", "  accept ")
    rows = finding.text.split("\n")[1:]
    return "\n".join([finding.headline, *(row for row in rows if row.startswith(labels))])


def _parted(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Return what is to be seen at once, and what is folded: what is quiet, unless it is little."""
    quiet = [finding for finding in findings if finding.is_quiet]
    folded = quiet if len(quiet) > _FEW else []
    return [finding for finding in findings if not (folded and finding.is_quiet)], folded


def _tells(finding: Finding) -> bool:
    """Tell whether a finding's whole text is shown: of what is quiet, that of seeds and faults."""
    return not finding.is_quiet or finding.kind in ("equivalence", "power")


def _within(parts: Sequence[str]) -> list[str]:
    """Return the parts that fit; one is left out as a whole, so that no table or fence stays open."""
    limit, kept = _LIMIT, []
    for part in parts:
        if len(part) < limit:
            limit -= len(part) + 1
            kept.append(part)
    left = len(parts) - len(kept)
    return [*kept, f"\nToo long for GitHub: {left} more in the report.\n"] if left else kept


def _table(findings: Sequence[Finding]) -> str:
    """Return a table of the findings that there is room for, and how many others there are."""
    table = "| verdict | training | first difference | margin |\n| --- | --- | --- | --- |\n"
    for number, finding in enumerate(findings):
        row = f"| {' | '.join(_cells(finding))} |\n"
        if len(table) + len(row) > _ROOM:
            return f"{table}| | and {len(findings) - number} more in the report | | |\n"
        table += row
    return table


def _cells(finding: Finding) -> Iterator[str]:
    first = first_text(finding) or ("" if finding.passed else finding.headline)
    yield f"**{finding.verdict}**" if not finding.passed else finding.verdict
    yield code(finding.place)
    yield code(first) if first else ""
    yield size_text(finding)


def code(text: str) -> str:
    """Return text that nothing in it can leave; a mention in it notifies nobody."""
    line = escape(" ".join(inert(text).split()), quote=False)
    return f"<code>{_ACTIVE.sub(lambda found: f'&#{ord(found[0])};', line)}</code>"


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
    facts = {"file": finding.file, "line": str(finding.line), "title": finding.headline}
    escaped = {name: _data(inert(value)).replace(":", "%3A").replace(",", "%2C") for name, value in facts.items()}
    properties = ",".join(f"{name}={value}" for name, value in escaped.items())
    return f"::{'warning' if finding.passed else 'error'} {properties}::{_data(inert(finding.text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
