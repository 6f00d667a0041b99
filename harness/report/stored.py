"""Stored baselines in words: a list, one of them, rows of names and texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.inventory import Stored
from harness.record import Record
from harness.report.words import commit_text, count, number, title


__all__ = ["inventory_text", "rows_text", "stored_text"]


def inventory_text(
    entries: Sequence[Stored], folder: Path, orphans: Sequence[str] | None, scraps: Sequence[str]
) -> str:
    """Return a line a baseline, and what does not belong there.

    Args:
        entries: the baselines.
        folder: where they are.
        orphans: names of files that no test claims; None if that is not known.
        scraps: names of files that were not finished.
    """
    size = _size(sum(entry.size for entry in entries))
    lines = [f"{number(len(entries), 'baseline')}, {size}, in {folder}"]
    table = [(entry.name, entry.kind, _size(entry.size), entry.made or "unknown", _with(entry)) for entry in entries]
    widths = [max(map(len, column)) for column in list(zip(*table, strict=True))[:-1]]
    for *cells, last in table:
        lines.append("  ".join(["", *(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)), last]))
    if orphans is None:
        lines.append("orphans: not known, the last session did not see all tests (run pytest --mpl)")
    else:
        lines.append(f"orphans: {', '.join(orphans) or 'none'} (as of the last session)")
    if scraps:
        lines.append(f"unfinished, of a run that was killed or is under way: {', '.join(scraps)}")
    return "\n".join(lines)


def _with(entry: Stored) -> str:
    """Say what a baseline was made with, and why."""
    if entry.problem:
        return entry.problem
    environment = entry.record.environment if entry.record else {}
    versions = [f"{name} {text}" for name in ("torch", "matplotlib") if (text := _version(entry, name))]
    made_on = [environment[name] for name in ("device", "instructions") if name in environment]
    return ", ".join([*versions, *made_on, *filter(None, [entry.provenance.get("reason")])]) or "says nothing of itself"


def _version(entry: Stored, name: str) -> str:
    """Return the version of what computed a record or drew a figure."""
    if entry.record:
        return entry.record.environment.get(name, "")
    return entry.provenance.get(name, "")


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"


def stored_text(entry: Stored) -> str:
    """Return all about a baseline but its numbers."""
    about = {name: text for name, text in entry.provenance.items() if name not in ("commit", "dirty")}
    rows = {"kind": entry.kind, "size": _size(entry.size), "problem": entry.problem}
    rows |= _record_rows(entry.record) if entry.record else {}
    rows |= {**about, "made": entry.made, "commit": commit_text(entry.provenance)}
    return rows_text(str(entry.path), rows)


def _record_rows(record: Record) -> dict[str, str]:
    values = count(sum(len(stream.values) for stream in record.streams.values()))
    rows = {
        "training": title(record),
        "steps": count(record.num_steps),
        "values": f"{values} in {number(len(record.streams), 'stream')}",
        "tensors": count(len(record.structure)),
        "seed": str(record.seed),
        "seeds": ", ".join(record.seeds),
        "recipe": ", ".join(f"{name} {value}" for name, value in record.recipe.items()),
        "data": ", ".join(f"{name} {text}" for name, text in record.data.items()),
        **record.environment,
    }
    if record.calibration:
        steps = ", ".join(map(str, record.calibration.steps))
        rows["states"] = f"before steps {steps}; thresholds from {', '.join(record.calibration.variants)}"
    return rows


def rows_text(headline: str, rows: Mapping[str, str]) -> str:
    """Return a headline and labelled lines below it; empty ones are left out."""
    width = max([9, *(len(label) for label, text in rows.items() if text)])
    return "\n".join([headline, *(f"  {label:<{width}}  {text}" for label, text in rows.items() if text)])
