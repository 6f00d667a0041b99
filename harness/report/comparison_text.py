"""What a check found of a training, in words: a comparison, several seeds, planted faults."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from harness.baselines.origin import ABOUT
from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.comparing.equivalence import ALPHA, MARGIN_DEVIATIONS, MARGIN_SHARE, Equivalence, Shift
from harness.comparing.ranks import Held
from harness.comparing.thresholds import EVENTS_THRESHOLD, THRESHOLD, dull
from harness.errors import some
from harness.inert import inert_line
from harness.record import Calibration, Record
from harness.record.environment import in_words
from harness.record.stream_text import stream_text
from harness.report.words import (
    BASELINE,
    SINGLE,
    at_step,
    caught_text,
    change_text,
    columns,
    commit_text,
    count,
    digest_text,
    drawn_text,
    former_word,
    gate_text,
    mode_change,
    number,
    parts_apart,
    rows_text,
    step_text,
    title,
    told_apart,
    value_text,
)


if TYPE_CHECKING:
    from harness.faults.gate_power import Mutant, Power


_FIRST_STEPS = 3
"""Steps whose deviation a failure gives, beside that of the last."""
_DIGESTS = ("batch", "random")
"""Kinds of streams whose texts are digests, which tell nobody anything."""
_ROOM = 60
"""Characters of a cause in one line."""
_LATER = 2
"""Later divergences that a failure lists."""
_LEFT_OUT = 8
"""Scalars left out that are named, losses first."""
_DIFFERS = "training differs from "
_BASELINE = f"its {BASELINE}"
_SINGLE = f"a {SINGLE}"
_COMPUTED = ("forward", "backward", "evaluation")
_COMPILED = re.compile(r"OptimizedModule\(| compiled$")
"""In the text of a module that torch.compile compiles."""


def failure(
    comparison: Comparison,
    *,
    test: str = "",  # pytest's id
    blame: Sequence[str] = (),  # a line a file that has changed since
    look: Sequence[str] = (),  # files and folders worth opening
    accept: str = "",  # the one command that makes the present run the baseline
    chosen: str = "",  # which of several baselines this is, or that it was made elsewhere, if there is need to say
    origin: Mapping[str, str] | None = None,  # of the present record, if it is known
    trained: str = "",  # id of the earlier test whose training this is, if it is not this test's own
    where: str = "",  # the line and the operation that differ first (`where_text`), if they are known
    against: str = "",  # the commit that made the baseline in this session, if it is not a stored one
    bits: Deviation | None = None,  # the first number of another bit, if one machine trained both in low precision
) -> str:
    """Word a comparison that fails: a headline that names the place, and labelled lines below it.

    Drift within what another environment explains has no such place; its headline is the note on it.
    """
    rows = [
        ("where", where),
        *(("blame", line) for line in blame),
        ("recipe", f"{title(comparison.record)}   {test}".rstrip()),
        ("trained", trained and f"by {trained}"),
        ("bits", "" if bits in comparison.deviations[:1] else bits_text(bits, comparison)),
        *_numbers_rows(comparison, SINGLE if against == _SINGLE else BASELINE),
        ("baseline", chosen),
        *_rows_around(comparison, origin or {}, against),
        *(("look", place) for place in look),
        ("accept", accept),
    ]
    headline = note(comparison)
    if told := comparison.first or bits:
        headline = _headline(told, comparison, against, within=comparison.first is None)
    return rows_text(inert_line(headline), rows)


def _numbers_rows(comparison: Comparison, former: str) -> Iterator[tuple[str, str]]:
    """Yield what is said of the numbers that differ from a baseline's, or a single process's."""
    first, moved = comparison.first, next(iter(comparison.told), None)
    if first and moved:
        yield "first", _numbers(first, former)
        numbers = _numbers(moved, former)
        yield "moves", f"{moved.stage}, {_named(moved, comparison)}, {numbers}" if comparison.cause else ""
        yield "steps", _steps(comparison, former)
        yield "threshold", _threshold(moved, comparison)
        yield "then", _then(comparison)
    yield "grows", _grows(comparison.growth)


def _steps(comparison: Comparison, former: str) -> str:
    """Say how many steps the training took, if what it is held against took more or fewer."""
    before, now = comparison.baseline.record.num_steps, comparison.record.num_steps
    return "" if before == now else f"{now} in all, {former} {before}"


def bits_text(bits: Deviation | None, comparison: Comparison) -> str:
    """Say from where on the bits of a training are others; empty if none is."""
    if bits is None:
        return ""
    size = f" ({bits.size:.1e})" if bits.size < math.inf else ""
    values = " -> ".join(told_apart(bits.baseline, bits.value))
    return f"differ {_since(bits)}: {bits.stage}, {_named(bits, comparison)}, {values}{size}"


def _rows_around(comparison: Comparison, origin: Mapping[str, str], against: str) -> Iterator[tuple[str, str]]:
    """Yield what else is known: what did not move, what is not as it was, what was not judged."""
    yield "unchanged", ", ".join(comparison.unchanged) if comparison.first or not against else ""
    yield "changed", changed_text(comparison, origin, against)
    yield "made", "" if against else _made(comparison.baseline.origin)
    yield "renamed", _renamed(comparison)
    yield "frozen", _frozen(comparison)
    yield "unknown", _unknown(comparison)
    yield "unjudged", _unjudged(comparison)
    yield "modules", _unseen(comparison)
    yield "gate", gate_text(comparison.baseline.gate)
    yield "left out", _left_out(comparison.record)
    yield "initial", _initial(comparison)
    yield "world", _alone(comparison.record)
    yield "hint", _hint(comparison)


def _unseen(comparison: Comparison) -> str:
    """Say which modules were not seen at work, where one within them might have been named."""
    clues = comparison.record.clues
    texts = {key.tensor: str(stream.values[-1]) for key, stream in clues.of("module") if stream.values}
    compiled = [name for name, text in texts.items() if _COMPILED.search(text)]
    if not compiled or comparison.first is None or comparison.first.stage not in _COMPUTED:
        return ""
    return f"what is within {', '.join(compiled[:_LATER])} was not seen at work: torch.compile hides what it compiles"


def _grows(growth: Mapping[int, float]) -> str:
    """Say how the largest deviation develops: a jump is a fault, a slow growth may be rounding."""
    steps = dict.fromkeys([*list(growth)[:_FIRST_STEPS], *list(growth)[-1:]])
    return ", ".join(f"{growth[step]:.1e} {at_step(step)}" for step in steps) if len(steps) > 1 else ""


def _headline(first: Deviation, comparison: Comparison, against: str = "", *, within: bool = False) -> str:
    lead = f"{_DIFFERS}{against or _BASELINE}{' in its bits' if within else ''}"
    lead = "training is not judged" if comparison.verdict == "not judged" else lead
    return f"{lead} {_since(first)}: {first.stage}, {_named(first, comparison)}"


def _since(first: Deviation) -> str:
    if first.stage == "structure":
        return "from the start"
    return f"from {step_text(first.step, first.moment)} on" if first.step >= 0 else "before step 0"


def _named(deviation: Deviation, comparison: Comparison, room: int = 0) -> str:
    return stream_text(deviation.stream, comparison.structure, room)


def cause(comparison: Comparison, bits: Deviation | None = None) -> str:
    """Word in sixty characters what a comparison that fails found first; one that drifted has at most other bits."""
    first = comparison.first or bits
    if first is None:
        return f"training drifts, largest deviation {comparison.largest:.1e}"
    place = "" if first.stage == "structure" else f"{step_text(first.step, first.moment)}, "
    tells = first.stream.is_shape or any(isinstance(one, int) for one in (first.baseline, first.value))
    change = " changed" if first.stream.kind in _DIGESTS and not tells else f": {_change(first)}"
    return f"{place}{_named(first, comparison, _ROOM - len(place) - len(change))}{change}"


def _change(first: Deviation) -> str:
    if first.stream.kind == "mode" and isinstance(first.baseline, str) and isinstance(first.value, str):
        return mode_change(first.baseline, first.value)
    return change_text(first.baseline, first.value)


def _numbers(first: Deviation, former: str = BASELINE) -> str:
    if first.stream.kind == "random":
        return drawn_text(first.step)
    if told := digest_text(first.stream, str(first.baseline), str(first.value), former):
        return f"{step_text(first.step, first.moment)}   {told}"
    before, now = _value(first.baseline), _value(first.value)
    if first.stream.kind == "module":
        before, now = parts_apart(before, now)
    text = f"{step_text(first.step, first.moment)}   {former_word(before, former)} {before}   now {now}"
    if first.is_undecided:
        return f"{text}   ({first.size:.1e}, which nothing could have failed)"
    threshold = f"{first.threshold:.1e}".replace(".0e", "e")
    return text + (f"   ({first.size:.1e}, threshold {threshold})" if first.size < math.inf else "")


def _threshold(first: Deviation, comparison: Comparison) -> str:
    """Say where a threshold comes from that is not the usual one."""
    calibration, limit = comparison.baseline.calibration, first.limit
    if limit.given:
        return f"{limit.given:g}, which the test gives it: {comparison.baseline.gate.reason!r}"
    if comparison.record.source == "event files" and not comparison.record.is_low_precision:
        return "event files keep float32, which rounds by up to 1.2e-07"
    if calibration is None or limit.measured is None or first.is_undecided:
        return ""
    place = f"{number(limit.place, 'step')} after a stored state" if calibration.states else "up to this step"
    text = f"{calibration.margin:g} x {limit.measured:.1e}, the largest {place} with {draws_text(calibration)}"
    if limit.size > calibration.margin * limit.measured:
        text = f"the least that any number is given; {draws_text(calibration)} moved its kind by {limit.measured:.1e}"
    return text + ("; of a former baseline (harness doctor --verify)" if calibration.inherited else "")


def draws_text(calibration: Calibration) -> str:
    """Name what a calibration varied: draws of jitter are counted."""
    draws = sum(name.startswith("jitter") for name in calibration.variants)
    kernels = [name for name in calibration.variants if not name.startswith("jitter")]
    return ", ".join([*kernels, *([f"{number(draws, 'draw')} of rounding"] if draws else [])])


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return value_text(value)


def _then(comparison: Comparison) -> str:
    """Name the first divergences of later stages, and count."""
    found = comparison.told
    later: dict[str, Deviation] = {}
    for deviation in found[1:]:
        if deviation.stage != found[0].stage:
            later.setdefault(deviation.stage, deviation)
    texts = [f"{_named(d, comparison)} {at_step(d.step)}" for d in islice(later.values(), _LATER)]
    streams = len(comparison.streams & {deviation.stream for deviation in found})
    compared = len(comparison.points) if comparison.verdict == "not judged" else comparison.num_values
    values = f"{count(len(found))} of {count(compared)} values"
    return "; ".join([*texts, f"{values} in {streams} of {len(comparison.streams)} streams"])


def _renamed(comparison: Comparison) -> str:
    return ", ".join(f"{former} -> {present}" for former, present in comparison.renamed)


def _frozen(comparison: Comparison) -> str:
    """Say which frozen tensors an optimizer has taken, or let go."""
    held: dict[bool, list[str]] = {}
    for name, now in comparison.frozen.items():
        held.setdefault(now, []).append(name)
    words = {True: "held", False: "no longer held"}
    return "; ".join(
        f"frozen tensors {words[now]} by an optimizer: {some(names, _LEFT_OUT)}" for now, names in held.items()
    )


def changed_text(comparison: Comparison, origin: Mapping[str, str], against: str = "") -> str:
    """Name what changed around a training, and in its recipe; empty if nothing is known to have."""
    recipe = _of_world(comparison) + [f"recipe: {text}" for text in in_words(comparison.recipe)]
    around = in_words(comparison.environment + _sources(comparison.baseline.origin, origin))
    since = against or "the baseline was made"
    return f"{'; '.join(recipe + around)} since {since}" if recipe or around else ""


def _sources(*origins: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return what else differs of where both come from, as far as both say it."""
    before, now = ({**about, "commit": commit_text(about)} for about in origins)
    names = [name for name in now if before.get(name) and now[name] and name not in (*ABOUT, "dirty")]
    return tuple((name, before[name], now[name]) for name in names if before[name] != now[name])


def _made(origin: Mapping[str, str]) -> str:
    """Say when, from which sources and why a baseline was made."""
    commit = f"at commit {commit_text(origin)}" if "commit" in origin else ""
    return ", ".join(filter(None, [origin.get("made"), commit, origin.get("reason")]))


def difference(comparison: Comparison) -> str:
    """Word in a line how a record differs from its baseline, for a table."""
    if not (first := comparison.first):
        return note(comparison)
    headline = _headline(first, comparison).removeprefix(f"{_DIFFERS}{_BASELINE} ")
    return f"{headline}; {_numbers(first)}; {_then(comparison)}"


def note(comparison: Comparison, *, chosen: str = "", trained: str = "", bits: Deviation | None = None) -> str:
    """Word a comparison that passed: verdict, largest deviation, renamed tensors; the rest as for `failure`."""
    found = comparison.told
    moved = f", first {_named(found[0], comparison)}" if found else ""
    largest = f"largest deviation {comparison.largest:.1e} in {count(comparison.num_values)} values"
    if comparison.verdict == "not judged":
        size = max(point.size for point in found)
        largest = f"{number(len(found), 'value')} moved by up to {size:.1e}, which nothing could have failed"
    loosened = gate_text(comparison.baseline.gate)
    rest = [
        bits and f"bits {bits_text(bits, comparison)}",
        _allowed(comparison) if comparison.verdict == "drift" else "",
        comparison.renamed and f"renamed {_renamed(comparison)}",
        _frozen(comparison),
        _unknown(comparison),
        _unjudged(comparison),
        _initial(comparison),
        ", ".join(_of_world(comparison)),
        _alone(comparison.record),
        chosen and f"baseline {chosen}",
        _left_out(comparison.record),
        loosened and f"the test {loosened}",
        trained and f"trained by {trained}",
    ]
    verdict = f"{title(comparison.record)}: {comparison.verdict}, {largest}{moved}"
    return inert_line("; ".join([verdict, *(text for text in rest if text)]))


def _allowed(comparison: Comparison) -> str:
    """Name the largest threshold that a number which moved was held to, and how it came to be so large."""
    moved = (point for point in comparison.points if point.size > 0 and point.limit.judges)
    widest = max(moved, key=lambda point: point.threshold)
    text = f"largest threshold used {widest.threshold:.1e}, of {_named(widest, comparison)} {at_step(widest.step)}"
    calibration, measured = comparison.baseline.calibration, widest.limit.measured
    if calibration is None or measured is None or widest.threshold > calibration.margin * measured:
        return text
    return f"{text} ({calibration.margin:g} x {measured:.1e})"


def _unknown(comparison: Comparison) -> str:
    """Say what was not compared because only one of two versions of the recorder takes it."""
    if not comparison.unknown:
        return ""
    kinds = ", ".join(dict.fromkeys(key.kind for key in comparison.unknown))
    streams = number(len(comparison.unknown), "stream")
    return f"{streams} not compared, of a kind that one version does not record ({kinds})"


def _left_out(record: Record) -> str:
    """Name what a test leaves out, and what of event files went on elsewhere."""
    names = list(dict.fromkeys(name for left_out in record.ignored.values() for name in left_out))
    kind = "scalar" if record.source == "event files" else "stream"
    total = number(len(names) + len(record.streams), kind)
    values = number(sum(record.replaced.values()), "value")
    texts = [
        names and f"the test ignores {len(names)} of {total}: {some(names, _LEFT_OUT)}",
        record.replaced and f"a later file takes the place of {values}: {some([*record.replaced], _LEFT_OUT)}",
    ]
    return "; ".join(text for text in texts if text)


def _initial(comparison: Comparison) -> str:
    """Say that a training begins with other last digits."""
    return "the initial weights differ in their last digits" if comparison.starts_elsewhere else ""


def _of_world(comparison: Comparison) -> list[str]:
    return [f"world {text}" for text in in_words(comparison.world)]


def _alone(record: Record) -> str:
    """Say that a launcher has started processes that did not train together."""
    world = record.world
    if world is None or not world.lacks_ranks:
        return ""
    ran = f"in a group of {world.size}" if world.backend else "in no process group"
    return f"the launcher started {world.launched} processes, but this training ran {ran}"


def _hint(comparison: Comparison) -> str:
    """Say what judges data that other workers have drawn."""
    cause = comparison.cause
    if cause is None or cause.stream.entry not in ("workers", "start_method", "persistent_workers"):
        return ""
    return "other workers may draw other numbers: --training-equivalence judges by several seeds whether that matters"


def calibration_note(record: Record, calibration: Calibration | None, test: str = "") -> str:
    """Word what the thresholds of a test's baseline come from, and what they leave unjudged."""
    parts = _measured(record, calibration) if calibration else _not_measured(record)
    return f"{title(record)}: {'; '.join(filter(None, parts))}   {test}".rstrip()


def _not_measured(record: Record) -> tuple[str, str]:
    why, usual = "it stores no states", "equal in the same environment"
    if not record.is_low_precision:
        why = "it cannot be run again from outside"
        usual = f"{EVENTS_THRESHOLD if record.source == 'event files' else THRESHOLD:.0e}"
    return f"thresholds not measured, since {why}: {usual}", _left_out(record)


def _measured(record: Record, calibration: Calibration) -> tuple[str, str]:
    largest = max((size for sizes in calibration.largest.values() for size in sizes), default=0.0)
    states = f"{number(len(calibration.steps), 'state')} stored, " if calibration.states else ""
    margin = f"{calibration.margin:g} x the largest deviation ({largest:.1e})"
    text = f"{states}thresholds {margin} with {draws_text(calibration)}"
    return text, unjudged_text(dull(calibration, record.precision))


def _unjudged(comparison: Comparison) -> str:
    """Say what is not judged, and what would help where thresholds are those of another training."""
    if any(point.limit.measured is not None for point in comparison.points):
        return unjudged_text(comparison.unjudged)
    states = "states (Recorder(states=training_regression.states())) or "
    own = "a baseline of this environment (--training-generate=add)"
    return unjudged_text(comparison.unjudged, own if comparison.record.source == "event files" else states + own)


def unjudged_text(steps: Mapping[str, int], remedy: str = "fewer steps, a lower rate or stored states") -> str:
    """Say from which steps on families of streams are not judged, and what would help; empty if there are none."""
    if not steps:
        return ""
    first = min(steps.values())
    names = ", ".join(family.replace("/", " ") for family, step in steps.items() if step == first)
    more = f" ({len(steps)} kinds of numbers by step {max(steps.values())})" if max(steps.values()) > first else ""
    return f"from step {first} on rounding alone moves {names} too far to be judged{more}: {remedy} would help"


def parity_text(held: Held, test: str, page: object, *, passed: bool) -> str:
    """Word what ranks do beside a single process."""
    if passed:
        text = f"ranks beside a single process: {note(held.comparison)}"
        return "; ".join(filter(None, [text, inert_line(held.apart)]))
    text = failure(held.comparison, test=test, against=_SINGLE, look=[str(page)])
    return rows_text(text, {"apart": held.apart})


def equivalence_text(equivalence: Equivalence, generate: str = "", compare: str = "") -> str:
    """Word a training's seeds held against its baseline's: a headline, a line a metric, and how they were judged.

    Where they leave the question open, the command lines follow that store more seeds, and that judge by them.
    """
    columns = ("metric", "former", "present", "difference", "interval", "corrected", "margin", "verdict")
    rows = [columns, *(_cells(shift) for shift in equivalence.shifts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(["", name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:-1]), verdict])
        for name, *numbers, verdict in rows
    ]
    more = [f"  more    on the former version: {generate}", f"          then on this one: {compare}"]
    is_open = generate and equivalence.verdict == "inconclusive"
    lines = [_equivalence_headline(equivalence), *table, *_stated_test(equivalence), *(more if is_open else [])]
    return "\n".join(lines)


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


def power_text(power: "Power", test: str, least: float = 0.0) -> str:
    """Word how a test's training fares under the standard faults: the score, and a line a fault, escapes first.

    Where less than the least share is caught, the last line says why.
    """
    score = "" if power.score is None else f" {power.score:.2f}"
    headline = f"gate power{score}: {caught_text(len(power.caught), len(power.planted))}"
    fates = [(mutant.fault, _fate(mutant, power.record)) for mutant in sorted(power.mutants, key=_rank)]
    lines = [f"  {line}" for line in columns(fates)]
    lines += [] if power.reaches(least) else [f"  {_shortfall(power)} training_gate_power_min = {least:g}"]
    return "\n".join([f"{headline}   {title(power.record)}   {test}", *lines])


def _shortfall(power: "Power") -> str:
    if power.failed:
        return f"{number(len(power.failed), 'fault')} could not be tried, which is a failure of"
    return "below" if power.planted else "nothing was planted, which is a failure of"


def _rank(mutant: "Mutant") -> int:
    if mutant.planted:
        return 2 if mutant.caught else 0
    return 1 if mutant.failed else 3


def _fate(mutant: "Mutant", record: Record) -> str:
    if not mutant.planted:
        return f"not planted: {mutant.reason}"
    if mutant.divergence is None:
        return f"caught: {mutant.reason}" if mutant.caught else "ESCAPED: it moved nothing beyond the threshold"
    step, stage, stream = mutant.divergence
    place = f"{step_text(step)}, {stage}, {stream_text(stream, record.structure)}"
    return f"caught at {place}" if mutant.caught else f"ESCAPED as drift: {place}"
