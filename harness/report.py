"""What people read: a comparison as text, a training as a line, a session as a summary. Words only, no decisions."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice

from harness.comparison import Comparison, Deviation
from harness.equivalence import ALPHA, MARGIN_DEVIATIONS, MARGIN_SHARE, Equivalence, Shift
from harness.record import Record
from harness.thresholds import IN_EVENT_FILES


__all__ = [
    "calibration_note",
    "equivalence_text",
    "failure",
    "note",
    "progress_line",
    "stream_text",
    "training_line",
]

_LATER = 2
"""Later divergences that a failure lists."""

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


_COLUMNS = ("metric", "former", "present", "difference", "interval", "corrected", "margin", "verdict")


def stream_text(stream: str) -> str:
    """Return a stream's name in words: `gradient/conv3.weight` is "gradient of conv3.weight"."""
    if stream.startswith("distance/"):
        return f"{_plain(stream.removeprefix('distance/'))} against the stored state"
    return _plain(stream)


def _plain(stream: str) -> str:
    kind, *rest = stream.split("/")
    if len(rest) == (2 if kind == "optimizer" else 1) and kind in _WORDED:
        return _WORDED[kind].format(*rest)
    return stream.replace("_", " ")


def failure(comparison: Comparison, *, test: str, look: Sequence[str], accept: str) -> str:
    """Word a comparison whose verdict is different.

    Args:
        comparison: with at least one deviation.
        test: pytest's id of the test.
        look: files and folders worth opening.
        accept: the one command that makes the present run the baseline.

    Returns:
        A headline that names step, stage and stream, and labelled lines below it. Drift within what another
        environment explains has no such place; its headline is the note on it.
    """
    first = comparison.deviations[0] if comparison.deviations else None
    rows = [
        ("recipe", f"{_title(comparison.record)}   {test}"),
        ("first", _numbers(first) if first else ""),
        ("threshold", _threshold(first, comparison) if first else ""),
        ("then", _then(comparison) if first else ""),
        ("grows", _grows(comparison)),
        ("unchanged", ", ".join(comparison.unchanged)),
        ("changed", _changed(comparison)),
        ("renamed", _renamed(comparison)),
        *(("look", place) for place in look),
        ("accept", accept),
    ]
    headline = _headline(first) if first else note(comparison)
    return "\n".join([headline, *(f"  {label:<9}  {text}" for label, text in rows if text)])


def _headline(first: Deviation) -> str:
    since = "from the start" if first.stage == "structure" else f"from step {first.step} on"
    return f"training differs from its baseline {since}: {first.stage}, {stream_text(first.stream)}"


def _title(record: Record) -> str:
    return ", ".join(filter(None, (record.name, record.data.get("name"), record.precision, record.device)))


def _numbers(first: Deviation) -> str:
    text = f"step {first.step}   baseline {_value(first.baseline)}   now {_value(first.value)}"
    return text + (f"   ({first.size:.1e}, threshold {first.threshold:.0e})" if first.size < math.inf else "")


def _threshold(first: Deviation, comparison: Comparison) -> str:
    """Say where a threshold comes from that is not the usual one."""
    if comparison.record.precision.endswith(IN_EVENT_FILES):
        return "event files keep float32, which rounds by up to 1.2e-07"
    calibration, measured = comparison.baseline.calibration, first.limit.measured
    if calibration is None or measured is None:
        return ""
    place = f"{_number(first.limit.place, 'step')} after a stored state"
    return f"{calibration.margin:g} x {measured:.1e}, the largest {place} with {', '.join(calibration.variants)}"


def _value(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _then(comparison: Comparison) -> str:
    """Name the first divergences of later stages, and count."""
    later: dict[str, Deviation] = {}
    for deviation in comparison.deviations[1:]:
        if deviation.stage != comparison.deviations[0].stage:
            later.setdefault(deviation.stage, deviation)
    texts = [f"{stream_text(d.stream)} at step {d.step}" for d in islice(later.values(), _LATER)]
    known = comparison.baseline.streams.keys() | comparison.record.streams.keys()
    streams = len(known & {deviation.stream for deviation in comparison.deviations})
    count = f"{_count(len(comparison.deviations))} of {_count(comparison.num_values)} values"
    return "; ".join([*texts, f"{count} in {streams} of {comparison.num_streams} streams"])


def _grows(comparison: Comparison) -> str:
    """Say how the largest deviation develops: a jump is a fault, a slow growth may be rounding."""
    points = [f"{size:.1e} at step {step}" for step, size in comparison.growth]
    return ", ".join(points) if len(points) > 1 else ""


def _renamed(comparison: Comparison) -> str:
    return ", ".join(f"{former} -> {present}" for former, present in comparison.renamed)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _changed(comparison: Comparison) -> str:
    recipe = [f"recipe: {name} {before} -> {now}" for name, before, now in comparison.recipe]
    around = [f"{name} {before} -> {now}" for name, before, now in comparison.environment]
    return "; ".join(recipe + around) + " since the baseline was made" if recipe or around else ""


def note(comparison: Comparison) -> str:
    """Word a comparison that passed: its verdict, largest deviation and renamed tensors."""
    moved = f", first {stream_text(comparison.deviations[0].stream)}" if comparison.deviations else ""
    largest = f"largest deviation {comparison.largest:.1e} in {_count(comparison.num_values)} values"
    names = f"; renamed {_renamed(comparison)}" if comparison.renamed else ""
    return f"{_title(comparison.record)}: {comparison.verdict}, {largest}{moved}{names}"


def calibration_note(record: Record) -> str:
    """Word what the thresholds of a low-precision baseline come from."""
    calibration = record.calibration
    assert calibration is not None, "the caller's condition"
    largest = max((size for sizes in calibration.largest.values() for size in sizes), default=0.0)
    return (
        f"{_title(record)}: {_number(len(calibration.steps), 'state')} stored, thresholds {calibration.margin:g} x the "
        f"largest deviation ({largest:.1e}) with {', '.join(calibration.variants)}"
    )


def training_line(record: Record) -> str:
    """Return one line on a finished training: what, steps, final loss, seconds."""
    logged = {name: s.values for name, s in record.streams.items() if s.stage == "forward"}
    losses = logged.get("loss") or next(iter(logged.values()), ())
    loss = f", loss {losses[-1]:.4f}" if losses and isinstance(losses[-1], float) else ""
    return f"{_title(record)}: {record.num_steps} steps{loss}, {record.seconds:.1f} s"


def progress_line(title: str, step: int, steps: int, loss: float, seconds: float) -> str:
    """Return one line on a training under way.

    Args:
        title: recipe, data, precision and device.
        step: steps taken.
        steps: steps of the run.
        loss: of the last step.
        seconds: since its start.
    """
    return f"training {title}: step {step}/{steps}, loss {loss:.4f}, {seconds:.1f} s"


def equivalence_text(equivalence: Equivalence) -> str:
    """Word a training's seeds held against its baseline's, whatever the verdict.

    Returns:
        A headline, a table with a line a metric, and labelled lines on test and margins.
    """
    rows = [_COLUMNS, *(_cells(shift) for shift in equivalence.shifts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(["", name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:-1]), verdict])
        for name, *numbers, verdict in rows
    ]
    return "\n".join([_equivalence_headline(equivalence), *table, *_stated_test(equivalence)])


def _equivalence_headline(equivalence: Equivalence) -> str:
    shifted: dict[str, list[str]] = {}
    for shift in equivalence.shifts:
        shifted.setdefault(shift.verdict, []).append(stream_text(shift.metric))
    order = ("worse", "different", "better", "inconclusive")
    found = [f"{verdict} in {', '.join(shifted[verdict])}" for verdict in order if verdict in shifted]
    rest = "; ".join(found) or "every metric stays within its margin"
    return f"{equivalence.verdict} after {equivalence.seeds} of {equivalence.planned} paired seeds: {rest}"


def _cells(shift: Shift) -> list[str]:
    means = [f"{shift.former:.4g}", f"{shift.present:.4g}", f"{shift.difference:+.2g}"]
    reaches = [f"+-{reach:.2g}" for reach in (shift.reach, shift.corrected_reach)]
    return [stream_text(shift.metric), *means, *reaches, f"{shift.margin:.2g}", shift.verdict]


def _stated_test(equivalence: Equivalence) -> list[str]:
    error, least, metrics = f"{100 * ALPHA:g} %", f"{100 * MARGIN_SHARE:g} %", len(equivalence.shifts)
    return [
        f"  test    paired t at each seed from the third, error spent over {equivalence.planned}: interval, TOST at "
        f"{error}; corrected, {error} over {metrics} metrics",
        f"  margin  where none is given, {MARGIN_DEVIATIONS:g} standard deviations of the baseline's seeds, at least "
        f"{least} of their mean",
    ]
