"""Trainings, streams and stored baselines in words."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from harness.comparing.deviations import AGREED
from harness.comparing.moments import ONCE, Moment
from harness.errors import number as number  # of all texts, messages too
from harness.inert import inert_line
from harness.record import Record, StreamKey
from harness.record.gate import Gate
from harness.record.stream_text import shortened, stream_text


_DIGEST = re.compile("[0-9a-f]{16}")
_LONGEST_VALUE, _LONGEST_MODE = 12, 20
"""Characters of a value, and of a mode, in a line that sums up."""
BASELINE, SINGLE = "baseline", "single process"
"""What a training is held against: the latter has no baseline beside it."""


def step_text(step: int, moment: Moment = ONCE) -> str:
    """Name a step, and which of its micro-batches: "step 3, micro-batch 2 of 4"; what comes before all is so called."""
    part = f", micro-batch {moment.batch + 1} of {moment.batches}" if moment.batches > 1 else ""
    return f"step {step}{part}" if step >= 0 else "before step 0"


def at_step(step: int) -> str:
    """Return the same for the end of a phrase: "loss at step 3", "loss before step 0"."""
    return f"at step {step}" if step >= 0 else "before step 0"


def title(record: Record) -> str:
    """Return what was trained, on which data, in which precision, on which device."""
    return ", ".join(filter(None, (record.name, record.data.get("name"), record.format_text, record.device)))


def commit_text(about: Mapping[str, str]) -> str:
    """Return the commit of an origin, and whether there were changes on top of it; empty if unknown."""
    return about.get("commit", "") + (" with changes" if about.get("dirty") == "yes" else "")


def ago(when: datetime) -> str:
    """Say how long ago something was: "2 days ago", "today"."""
    days = (datetime.now(UTC) - when).days
    return f"{number(days, 'day')} ago" if days > 0 else "today"


def sources_text(sources: Collection[str]) -> str:
    """Count the files that a result was made from; empty if they are not known."""
    return f"{number(len(sources), 'file')} of the project" if sources else ""


def count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def gate_text(gate: Gate) -> str:
    """Say what a test lets go, and why; empty if nothing."""
    allowed = ", ".join(f"{pattern} part by {size:g}" for pattern, size in gate.thresholds.items())
    texts = [
        gate.ignore and f"ignores {', '.join(gate.ignore)}",
        allowed and f"lets {allowed}",
        gate.allow_nonfinite and f"allows NaN and infinity in {', '.join(gate.allow_nonfinite)}",
    ]
    reason = f": {gate.reason!r}" if gate.reason else ""
    return " and ".join(text for text in texts if text) + reason


def value_text(value: object) -> str:
    """Return a stream's value, which may be missing, as text."""
    if value is None:
        return "nothing"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def digest_text(stream: str, before: str, now: str, former: str) -> str:
    """Say what two digests tell, the one before of what is former; empty if the values of a stream are none."""
    if not (_DIGEST.fullmatch(before) and _DIGEST.fullmatch(now)):
        return ""
    key = StreamKey(stream)
    if key.kind == "batch" and key.tensor.endswith(" order"):
        return "the same samples in other places"
    what = {"batch": "samples", "random": "random numbers"}.get(key.kind)
    return f"other {what} than in the {former}" if what else ""


def former_word(value: object, former: str) -> str:
    """Return whose a former value is, or that it is what all ranks are to have."""
    return "expected" if value == AGREED else former


def change_text(before: object, now: object) -> str:
    """Return a former and a present value, as short as they can be told apart."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        return ", ".join(f"{name} {change_text(before.get(name), now.get(name))}" for name in changed[:1])
    if isinstance(before, str) and isinstance(now, str):
        before, now = parts_apart(before, now)
    return " -> ".join(shortened(text, _LONGEST_VALUE) for text in told_apart(before, now))


def told_apart(one: object, other: object) -> tuple[str, str]:
    """Return two values as texts, numbers with as many digits as tell them apart."""
    for digits in range(3, 18):
        texts = [f"{value:.{digits}g}" if isinstance(value, float) else value_text(value) for value in (one, other)]
        if texts[0] != texts[1]:
            break
    return texts[0], texts[1]


def parts_apart(before: str, now: str) -> tuple[str, str]:
    """Return two texts of one kind of module, `Linear(in_features=2, out_features=3)`, without what they share."""
    (kind, _, former), (other, _, present) = before.partition("("), now.partition("(")
    pairs = [*zip(former.removesuffix(")").split(", "), present.removesuffix(")").split(", "), strict=False)]
    apart = [pair for pair in pairs if pair[0] != pair[1]]
    if kind != other or former.count(", ") != present.count(", ") or not apart:
        return before, now
    return ", ".join(pair[0] for pair in apart), ", ".join(pair[1] for pair in apart)


def mode_change(before: str, now: str) -> str:
    """Return what differs of two modes: "training -> evaluation", "bn evaluation" for a module that left its model."""
    former, present = (text.replace(" but ", ", ").split(", ") for text in (before, now))
    apart = (
        ", ".join(part for part in own if part not in other) for own, other in ((former, present), (present, former))
    )
    return " -> ".join(shortened(text, _LONGEST_MODE) for text in apart if text)


def drawn_text(step: int) -> str:
    """Say when other random numbers were drawn, if a generator's state is another one at the start of a step."""
    since = f"between the starts of steps {step - 1} and {step}" if step > 0 else "before step 0"
    return f"other random numbers were drawn {since}"


def caught_text(caught: int, planted: int) -> str:
    """Count the planted faults that were caught."""
    if not planted:
        return "no fault could be planted"
    return f"{caught} of {number(planted, 'planted fault')} caught"


def training_line(record: Record, test: str = "") -> str:
    """Return one line on a finished training: what, steps, final loss or what else it logged, seconds, its test."""
    logged = {key: stream.values for key, stream in record.streams.items() if stream.stage == "forward"}
    key = next((key for key in (StreamKey("loss"), *logged) if logged.get(key)), StreamKey("loss"))
    values = logged.get(key, ())
    name = "loss" if "loss" in key.lower() else stream_text(key)
    last = f", {name} {values[-1]:.4f}" if values and isinstance(values[-1], float) else ""
    return f"{title(record)}: {number(record.num_steps, 'step')}{last}, {record.seconds:.1f} s   {test}".rstrip()


def columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Return lines whose cells stand below each other."""
    widths = [max(map(len, column)) for column in [*zip(*rows, strict=True)][:-1]]
    return [gap.join([*map(str.ljust, cells, widths), last]) for *cells, last in rows]


def rows_text(headline: str, rows: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Return a headline and labelled lines below it; empty ones are left out."""
    shown = [(label, text) for label, text in (rows.items() if isinstance(rows, Mapping) else rows) if text]
    width = max([9, *(len(label) for label, _ in shown)])
    return "\n".join([headline, *(f"  {label:<{width}}  {inert_line(text)}" for label, text in shown)])
