"""A session's results as Markdown, for a job's summary or a comment on a pull request."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from harness.report.results import first_text, result_title, session_text, size_text, trends
from harness.results import Result


__all__ = ["markdown"]

_LIMIT = 60_000
"""Characters; a comment on GitHub holds 65,536."""
_ACTIVE = re.compile(r"[\\`*_{}\[\]()#+!|~@:$-]")
"""What Markdown or GitHub would read as more than text."""


def markdown(results: Sequence[Result]) -> str:
    """Return a headline, a table of the checks, and what failures, seeds and planted faults say.

    It is cut where GitHub would refuse it.
    """
    failed = [result for result in results if not result["passed"]]
    passed = [result for result in results if result["passed"]]
    parts = [f"### Training regression: {session_text(results)}\n"]
    parts += [f"{_code(line)}\n" for line in trends(results)]
    parts += [_table(failed), *map(_said, failed)] if failed else []
    if passed:
        parts.append(_folded("passed, with margins" if failed else "margins", _table(passed)))
    parts += [_said(result) for result in passed if result["kind"] in ("equivalence", "power")]
    return "\n".join(_within(parts, _LIMIT))


def _within(parts: Iterable[str], limit: int) -> Iterator[str]:
    """Yield parts as long as they fit; a part is left out as a whole, so that no table or fence stays open."""
    left = 0
    for part in parts:
        if len(part) < limit:
            limit -= len(part) + 1
            yield part
        else:
            left += 1
    if left:
        yield f"\nToo long for GitHub: {left} more in the report.\n"


def _table(results: Iterable[Result]) -> str:
    rows = [["verdict", "check", "test", "deviation", "first divergence"], ["---"] * 5]
    rows += [[*_cells(result)] for result in results]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(result: Result) -> Iterator[str]:
    first = result["training"] and result["training"]["first"]
    yield f"**{result['verdict']}**" if not result["passed"] else result["verdict"]
    yield _code(result_title(result))
    yield _code(result["test"] + (f", {result['name']}" if result["name"] else ""))
    yield size_text(result)
    yield _code(first_text(first)) if first else ""


def _code(text: str) -> str:
    """Return text that nothing in it can leave; a mention in it notifies nobody."""
    line = escape(" ".join(text.split()), quote=False)
    return f"<code>{_ACTIVE.sub(lambda found: f'&#{ord(found[0])};', line)}</code>"


def _said(result: Result) -> str:
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", result["text"])), default=2))
    return _folded(_code(result_title(result)), f"{fence}\n{result['text']}\n{fence}\n")


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"
