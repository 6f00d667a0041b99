"""Trainings, streams and stored baselines in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.baselines.failed import Candidate
from harness.baselines.inventory import Stored
from harness.record import Baseline, Record, StreamKey


_WORDED = {
    "gradient": "gradient of {0}",
    "update": "update of {0}",
    "weight": "norm of {0}",
    "buffer": "norm of buffer {0}",
    "init": "initial {0}",
    "learning_rate": "learning rate of the group of {0}",
    "batch": "{0} of the batch",
    "evaluation": "{0} of the evaluation",
    "optimizer": "{1} of {0}",
}


def stream_text(stream: str) -> str:
    """Return a stream's name in words: `gradient/conv3.weight` is "gradient of conv3.weight"."""
    key = StreamKey(stream)
    worded = _WORDED[key.kind].format(key.tensor, key.entry) if key.kind in _WORDED else stream.replace("_", " ")
    return f"{worded} against the stored state" if key.distance else worded


def title(record: Record) -> str:
    """Return what was trained, on which data, in which precision, on which device."""
    return ", ".join(filter(None, (record.name, record.data.get("name"), record.format_text, record.device)))


def commit_text(about: Mapping[str, str]) -> str:
    """Return the commit of an origin, and whether there were changes on top of it; empty if unknown."""
    return about.get("commit", "") + (" with changes" if about.get("dirty") == "yes" else "")


def number(count: int, noun: str) -> str:
    """Return a count and its noun, in the plural where it is not one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def training_line(record: Record) -> str:
    """Return one line on a finished training: what, steps, final loss, seconds."""
    logged = {key: stream.values for key, stream in record.streams.items() if stream.stage == "forward"}
    losses = logged.get(StreamKey("loss")) or next(iter(logged.values()), ())
    loss = f", loss {losses[-1]:.4f}" if losses and isinstance(losses[-1], float) else ""
    return f"{title(record)}: {record.num_steps} steps{loss}, {record.seconds:.1f} s"


def progress_line(name: str, step: int, steps: int, loss: float, seconds: float) -> str:
    """Return one line on a training under way.

    Args:
        name: recipe, data, precision and device.
        step: steps taken.
        steps: steps of the run.
        loss: of the last step.
        seconds: since its start.
    """
    return f"training {name}: step {step}/{steps}, loss {loss:.4f}, {seconds:.1f} s"


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
    environment = entry.baseline.record.environment if entry.baseline else {}
    versions = [f"{name} {text}" for name in ("torch", "matplotlib") if (text := _version(entry, name))]
    made_on = [environment[name] for name in ("device", "instructions") if name in environment]
    return ", ".join([*versions, *made_on, *filter(None, [entry.origin.get("reason")])]) or "says nothing of itself"


def _version(entry: Stored, name: str) -> str:
    """Return the version of what computed a record or drew a figure."""
    if entry.baseline:
        return entry.baseline.record.environment.get(name, "")
    return entry.origin.get(name, "")


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"


def stored_text(entry: Stored) -> str:
    """Return all about a baseline but its numbers."""
    about = {name: text for name, text in entry.origin.items() if name not in ("commit", "dirty")}
    rows = {"kind": entry.kind, "size": _size(entry.size), "problem": entry.problem}
    rows |= _baseline_rows(entry.baseline) if entry.baseline else {}
    rows |= {**about, "made": entry.made, "commit": commit_text(entry.origin)}
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
        "recipe": ", ".join(f"{name} {value}" for name, value in record.recipe.items()),
        "data": ", ".join(f"{name} {text}" for name, text in record.data.items()),
        **record.environment,
    }
    if baseline.calibration:
        steps = ", ".join(map(str, baseline.calibration.steps))
        rows["states"] = f"before steps {steps}; thresholds from {', '.join(baseline.calibration.variants)}"
    return rows


def rows_text(headline: str, rows: Mapping[str, str]) -> str:
    """Return a headline and labelled lines below it; empty ones are left out."""
    width = max([9, *(len(label) for label, text in rows.items() if text)])
    return "\n".join([headline, *(f"  {label:<{width}}  {text}" for label, text in rows.items() if text)])


def accepted_table(accepted: Sequence[Candidate], reason: str) -> str:
    """Return Markdown: the reason, and a row a baseline."""
    rows = [f"| `{_cell(c.name)}` | {_cell(c.difference)} | {_cell(commit_text(c.origin))} |" for c in accepted]
    head = ["| baseline | how it differs from the former one | measured at commit |", "|---|---|---|"]
    return "\n".join([f"Baselines accepted: {_cell(reason)}", "", *head, *rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
