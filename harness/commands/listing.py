"""`harness list` and `harness show`: the stored baselines, and one of them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.atomic_files import scraps
from harness.baselines.inventory import Stored, inventory, stored_at
from harness.commands.project import add_places, baselines, last_orphans, stored
from harness.comparing.thresholds import dull
from harness.inert import inert_line
from harness.record import Baseline, Calibration
from harness.report.comparison_text import draws_text, unjudged_text
from harness.report.words import columns, commit_text, count, gate_text, number, rows_text, sources_text, title


def add(subparsers: Any) -> None:
    """Add both commands."""
    parser = subparsers.add_parser(
        "list",
        help="the baselines: when, where and from what they were made; orphans",
        description="List the baselines, and what lies beside them that is none.",
        epilog="example: harness list --baselines tests/baselines",
    )
    add_places(parser)
    parser.set_defaults(run=_list)
    parser = subparsers.add_parser(
        "show",
        help="all about one baseline but its numbers",
        description="Show all about one baseline but its numbers.",
        epilog="example: harness show 'tests/test_a.py::test_b[cpu]'",
    )
    parser.add_argument("name", help="a baseline's name, a part of it, its file or its test")
    add_places(parser)
    parser.set_defaults(run=_show)


def _list(given: argparse.Namespace) -> int:
    folder = baselines(given)
    print(inventory_text(inventory(folder), folder, last_orphans(given), scraps(folder)))
    return 0


def _show(given: argparse.Namespace) -> int:
    path = Path(given.name)
    is_file = path.suffix in (".json", ".png") and path.is_file()
    print("\n\n".join(stored_text(entry) for entry in ([stored_at(path)] if is_file else stored(given, given.name))))
    return 0


def inventory_text(
    entries: Sequence[Stored], folder: Path, orphans: Sequence[str] | None, scraps: Sequence[str]
) -> str:
    """Return a line a baseline of a folder, and what does not belong there: orphans, if known, and unfinished files."""
    size = _size(sum(entry.size for entry in entries))
    lines = [f"{number(len(entries), 'baseline')}, {size}, in {folder}"]
    rows = [(entry.name, entry.kind, _size(entry.size), entry.made or "unknown", _with(entry)) for entry in entries]
    lines += [f"  {line}" for line in columns([[*map(inert_line, row)] for row in rows])]
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
    about = entry.baseline.record.environment if entry.baseline else entry.origin
    versions = [f"{name} {about[name]}" for name in ("torch", "matplotlib") if about.get(name)]
    made_on = [about[name] for name in ("device", "instructions") if entry.baseline and name in about]
    loosened = gate_text(entry.baseline.gate) if entry.baseline else ""
    said = [*versions, *made_on, entry.origin.get("reason"), loosened and f"its test {loosened}"]
    return ", ".join(filter(None, said)) or "says nothing of itself"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"


def stored_text(entry: Stored) -> str:
    """Return all about a baseline but its numbers."""
    about = {name: text for name, text in entry.origin.items() if name not in ("commit", "dirty")}
    rows = {"kind": entry.kind, "size": _size(entry.size), "problem": entry.problem}
    rows |= _baseline_rows(entry.baseline) if entry.baseline else {}
    sources = entry.baseline.sources if entry.baseline else {}
    rows |= {**about, "made": entry.made, "commit": commit_text(entry.origin), "made from": sources_text(sources)}
    return rows_text(str(entry.path), rows)


def _baseline_rows(baseline: Baseline) -> dict[str, str]:
    record = baseline.record
    values = count(sum(len(stream.values) for stream in record.streams.values()))
    rows = {
        "training": title(record),
        "steps": count(record.num_steps),
        "values": f"{values} in {number(len(record.streams), 'stream')}",
        "tensors": count(len(record.structure)),
        "seed": str(record.seed),
        "seeds": ", ".join(map(str, baseline.seeds)),
        "gate": gate_text(baseline.gate),
        "recipe": ", ".join(f"{name} {value}" for name, value in record.recipe.items()),
        "data": ", ".join(f"{name} {text}" for name, text in record.data.items()),
        **record.environment,
    }
    if baseline.calibration:
        rows |= _calibration_rows(record.precision, baseline.calibration)
    return rows


def _calibration_rows(precision: str, calibration: Calibration) -> dict[str, str]:
    steps = ", ".join(map(str, calibration.steps))
    inherited = "; of a former baseline, not verified yet" if calibration.inherited else ""
    return {
        "thresholds": f"{calibration.margin:g} x the largest deviation with {draws_text(calibration)}{inherited}",
        "unjudged": unjudged_text(dull(calibration, precision)),
        "states": f"before steps {steps}" if calibration.states else "",
    }
