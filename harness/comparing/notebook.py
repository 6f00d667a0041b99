"""A comparison in a line, and as the table that a notebook shows."""

import html
from collections.abc import Sequence

from harness.comparing.deviations import Deviation
from harness.inert import inert_line


_MOST = 20
"""Rows of a table."""
_LONGEST = 60
"""Characters of a cell."""


def place(deviation: Deviation) -> str:
    """Return where a value stands and how far it moved, in words."""
    size = f"{deviation.size:.1e}, threshold {deviation.threshold:.1e}"
    step = f"step {deviation.step}" if deviation.step >= 0 else "before step 0"
    return f"{step}, {deviation.stage}, {deviation.stream} ({size})"


def table(caption: str, found: Sequence[Deviation]) -> str:
    """Return HTML: a row for each stream that left its baseline, where it first did, in causal order."""
    first: dict[str, Deviation] = {}
    for deviation in found:
        first.setdefault(deviation.stream, deviation)
    rows = [
        (one.stream, one.stage, one.step, one.baseline, one.value, f"{one.size:.1e}", f"{one.threshold:.1e}")
        for one in [*first.values()][:_MOST]
    ]
    head = ("stream", "stage", "first step", "baseline", "now", "deviation", "threshold")
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    more = f"<p>and {len(first) - _MOST} streams more</p>" if len(first) > _MOST else ""
    shown = f"<table><thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>{more}" if rows else ""
    return f"<p>{_escaped(caption)}</p>{shown}"


def _cells(tag: str, values: Sequence[object]) -> str:
    return "".join(f"<{tag}>{_escaped(_text(value))}</{tag}>" for value in values)


def _text(value: object) -> str:
    text = f"{value:.12g}" if isinstance(value, float) else "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _escaped(text: str) -> str:
    return html.escape(inert_line(text))
