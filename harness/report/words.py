"""Words that several reports share."""

from collections.abc import Mapping

from harness.record import Record


__all__ = ["commit_text", "count", "number", "stream_text", "title"]

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
    if stream.startswith("distance/"):
        return f"{_plain(stream.removeprefix('distance/'))} against the stored state"
    return _plain(stream)


def _plain(stream: str) -> str:
    kind, *rest = stream.split("/")
    if len(rest) == (2 if kind == "optimizer" else 1) and kind in _WORDED:
        return _WORDED[kind].format(*rest)
    return stream.replace("_", " ")


def title(record: Record) -> str:
    """Return what was trained, on which data, in which precision, on which device."""
    return ", ".join(filter(None, (record.name, record.data.get("name"), record.precision, record.device)))


def commit_text(about: Mapping[str, str]) -> str:
    """Return the commit of a provenance, and whether there were changes on top of it; empty if unknown."""
    return about.get("commit", "") + (" with changes" if about.get("dirty") == "yes" else "")


def number(count: int, noun: str) -> str:
    """Return a count and its noun, in the plural where it is not one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")
