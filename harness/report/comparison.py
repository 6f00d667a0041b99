"""A comparison in words."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice

from harness.comparison import Comparison, Deviation
from harness.environment import in_words
from harness.provenance import ABOUT
from harness.record import Record
from harness.report.words import commit_text, count, number, stream_text, title
from harness.thresholds import IN_EVENT_FILES


__all__ = ["calibration_note", "difference", "failure", "note"]

_LATER = 2
"""Later divergences that a failure lists."""
_DIFFERS = "training differs from its baseline "


def failure(comparison: Comparison, *, test: str, look: Sequence[str], accept: str, chosen: str = "") -> str:
    """Word a comparison whose verdict is different.

    Args:
        comparison: with at least one deviation.
        test: pytest's id of the test.
        look: files and folders worth opening.
        accept: the one command that makes the present run the baseline.
        chosen: which of several baselines this is, or that it was made elsewhere; empty if there is no need to say.

    Returns:
        A headline that names step, stage and stream, and labelled lines below it. Drift within what another
        environment explains has no such place; its headline is the note on it.
    """
    first = comparison.deviations[0] if comparison.deviations else None
    rows = [
        ("recipe", f"{title(comparison.record)}   {test}".rstrip()),
        ("first", _numbers(first) if first else ""),
        ("threshold", _threshold(first, comparison) if first else ""),
        ("then", _then(comparison) if first else ""),
        ("grows", _grows(comparison)),
        ("baseline", chosen),
        ("unchanged", ", ".join(comparison.unchanged)),
        ("changed", _changed(comparison)),
        ("made", _made(comparison.baseline)),
        ("renamed", _renamed(comparison)),
        *(("look", place) for place in look),
        ("accept", accept),
    ]
    headline = _headline(first) if first else note(comparison)
    return "\n".join([headline, *(f"  {label:<9}  {text}" for label, text in rows if text)])


def _headline(first: Deviation) -> str:
    since = "from the start" if first.stage == "structure" else f"from step {first.step} on"
    return f"{_DIFFERS}{since}: {first.stage}, {stream_text(first.stream)}"


def _numbers(first: Deviation) -> str:
    text = f"step {first.step}   baseline {_value(first.baseline)}   now {_value(first.value)}"
    threshold = f"{first.threshold:.1e}".replace(".0e", "e")
    return text + (f"   ({first.size:.1e}, threshold {threshold})" if first.size < math.inf else "")


def _threshold(first: Deviation, comparison: Comparison) -> str:
    """Say where a threshold comes from that is not the usual one."""
    if comparison.record.precision.endswith(IN_EVENT_FILES):
        return "event files keep float32, which rounds by up to 1.2e-07"
    calibration, measured = comparison.baseline.calibration, first.limit.measured
    if calibration is None or measured is None:
        return ""
    place = f"{number(first.limit.place, 'step')} after a stored state"
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
    streams = len(comparison.streams & {deviation.stream for deviation in comparison.deviations})
    values = f"{count(len(comparison.deviations))} of {count(comparison.num_values)} values"
    return "; ".join([*texts, f"{values} in {streams} of {len(comparison.streams)} streams"])


def _grows(comparison: Comparison) -> str:
    """Say how the largest deviation develops: a jump is a fault, a slow growth may be rounding."""
    points = [f"{size:.1e} at step {step}" for step, size in comparison.growth]
    return ", ".join(points) if len(points) > 1 else ""


def _renamed(comparison: Comparison) -> str:
    return ", ".join(f"{former} -> {present}" for former, present in comparison.renamed)


def _changed(comparison: Comparison) -> str:
    recipe = [f"recipe: {text}" for text in in_words(comparison.recipe)]
    around = in_words(comparison.environment + _sources(comparison))
    return "; ".join(recipe + around) + " since the baseline was made" if recipe or around else ""


def _sources(comparison: Comparison) -> tuple[tuple[str, str, str], ...]:
    """Return what else differs of where both come from, as far as both say it."""
    before, now = ({**about, "commit": commit_text(about)} for about in _abouts(comparison))
    names = [name for name in now if before.get(name) and now[name] and name not in (*ABOUT, "dirty")]
    return tuple((name, before[name], now[name]) for name in names if before[name] != now[name])


def _abouts(comparison: Comparison) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return comparison.baseline.provenance, comparison.record.provenance


def _made(baseline: Record) -> str:
    """Say when, from which sources and why a baseline was made."""
    about = baseline.provenance
    commit = f"at commit {commit_text(about)}" if "commit" in about else ""
    return ", ".join(filter(None, [about.get("made"), commit, about.get("reason")]))


def difference(comparison: Comparison) -> str:
    """Word in a line how a record differs from its baseline, for a table."""
    if not comparison.deviations:
        return note(comparison)
    first = comparison.deviations[0]
    return f"{_headline(first).removeprefix(_DIFFERS)}; {_numbers(first)}; {_then(comparison)}"


def note(comparison: Comparison, *, chosen: str = "") -> str:
    """Word a comparison that passed: its verdict, largest deviation and renamed tensors.

    Args:
        comparison: of any verdict.
        chosen: as for `failure`.
    """
    moved = f", first {stream_text(comparison.deviations[0].stream)}" if comparison.deviations else ""
    largest = f"largest deviation {comparison.largest:.1e} in {count(comparison.num_values)} values"
    names = f"; renamed {_renamed(comparison)}" if comparison.renamed else ""
    baseline = chosen and f"; baseline {chosen}"
    return f"{title(comparison.record)}: {comparison.verdict}, {largest}{moved}{names}{baseline}"


def calibration_note(record: Record) -> str:
    """Word what the thresholds of a low-precision baseline come from."""
    calibration = record.calibration
    assert calibration is not None, "the caller's condition"
    largest = max((size for sizes in calibration.largest.values() for size in sizes), default=0.0)
    return (
        f"{title(record)}: {number(len(calibration.steps), 'state')} stored, thresholds {calibration.margin:g} x the "
        f"largest deviation ({largest:.1e}) with {', '.join(calibration.variants)}"
    )
