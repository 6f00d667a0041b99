"""Trainings, streams and stored baselines in words."""

from collections.abc import Collection, Mapping

from harness.errors import number as number  # of all texts, messages too
from harness.inert import inert_line
from harness.record import Record, StreamKey
from harness.record.gate import Gate


_WORDED = {
    "gradient": "gradient of {0}",
    "update": "update of {0}",
    "weight": "norm of {0}",
    "buffer": "norm of buffer {0}",
    "init": "initial {0}",
    "learning_rate": "learning rate of the group of {0}",
    "batch": "{0} of the batch",
    "evaluation": "{0} of the evaluation",
    "config": "{0} of the configuration",
    "module": "settings of module {0}",
    "setting": "{1} of the group of {0}",
    "loader": "{1} of data loader {0}",
    "random": "random numbers of {0}",
    "mode": "mode of {0}",
    "output": "output of {0}",
    "output_gradient": "gradient of the output of {0}",
    "evaluation_output": "output of {0}",
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


def parts_apart(before: str, now: str) -> tuple[str, str]:
    """Return two texts of one kind of module, `Linear(in_features=2, out_features=3)`, without what they share."""
    (kind, _, former), (other, _, present) = before.partition("("), now.partition("(")
    pairs = [*zip(former.removesuffix(")").split(", "), present.removesuffix(")").split(", "), strict=False)]
    apart = [pair for pair in pairs if pair[0] != pair[1]]
    if kind != other or former.count(", ") != present.count(", ") or not apart:
        return before, now
    return ", ".join(pair[0] for pair in apart), ", ".join(pair[1] for pair in apart)


def drawn_text(step: int) -> str:
    """Say when other random numbers were drawn, if a generator's state is another one at the start of a step."""
    since = f"between the starts of steps {step - 1} and {step}" if step > 0 else "before step 0"
    return f"other random numbers were drawn {since}"


def caught_text(caught: int, planted: int) -> str:
    """Count the planted faults that were caught."""
    if not planted:
        return "no fault could be planted"
    return f"{caught} of {number(planted, 'planted fault')} caught"


def training_line(record: Record) -> str:
    """Return one line on a finished training: what, steps, final loss or what else it logged, seconds."""
    logged = {key: stream.values for key, stream in record.streams.items() if stream.stage == "forward"}
    key = next((key for key in (StreamKey("loss"), *logged) if logged.get(key)), StreamKey("loss"))
    values = logged.get(key, ())
    name = "loss" if "loss" in key.lower() else stream_text(key)
    last = f", {name} {values[-1]:.4f}" if values and isinstance(values[-1], float) else ""
    return f"{title(record)}: {number(record.num_steps, 'step')}{last}, {record.seconds:.1f} s"


def rows_text(headline: str, rows: Mapping[str, str]) -> str:
    """Return a headline and labelled lines below it; empty ones are left out."""
    width = max([9, *(len(label) for label, text in rows.items() if text)])
    lines = (f"  {label:<{width}}  {inert_line(text)}" for label, text in rows.items() if text)
    return "\n".join([headline, *lines])
