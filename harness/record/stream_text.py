"""A stream's name in words."""

from collections.abc import Mapping
from typing import Any

from harness.record.matching import group_text
from harness.record.streams import StreamKey


_WORDED = {
    "gradient": "gradient of {0}",
    "update": "update of {0}",
    "weight": "norm of {0}",
    "buffer": "norm of buffer {0}",
    "buffer_before": "norm of buffer {0} as a step began",
    "init": "initial {0}",
    "learning_rate": "learning rate of {0}",
    "batch": "{0} of the batch",
    "evaluation": "{0} of the evaluation",
    "world": "world {0}",
    "config": "{0} of the configuration",
    "placement": "placement of {0}",
    "module": "settings of module {0}",
    "setting": "{1} of {0}",
    "loader": "{1} of data loader {0}",
    "random": "random numbers of {0}",
    "mode": "mode of {0}",
    "output": "output of {0}",
    "output_gradient": "gradient of the output of {0}",
    "evaluation_output": "output of {0}",
    "optimizer": "{1} of {0}",
    "optimizer_steps": "optimizer steps",
}

_OF_PARTS = {"order": "places of the samples in {0}", "shape": "shape of {0} in the batch"}
"""What a batch's part has beside itself, by the end of its stream's name."""
_OF_GROUPS = ("learning_rate", "setting")
_LEAST_NAME = 9
"""Characters below which a text tells nothing."""


def stream_text(stream: str, structure: Mapping[str, Mapping[str, Any]] | None = None, room: int = 0) -> str:
    """Return a stream's name in words: `gradient/conv3.weight` is "gradient of conv3.weight".

    Args:
        stream: its key.
        structure: of its record, which says what a parameter group trains.
        room: characters that there are; if the words need more, what is named is shortened. 0 is as many as it takes.
    """
    key = StreamKey(stream)
    named = group_text(key.tensor, structure or {}) if key.kind in _OF_GROUPS else key.tensor
    worded, (part, _, end) = _WORDED.get(key.kind, "{0}"), named.rpartition(" ")
    if key.kind == "ranks":
        return stream_text(key.tensor, structure, room)
    if key.kind == "batch" and part and end in _OF_PARTS:
        worded, named = _OF_PARTS[end], part
    words = worded + " against the stored state" * key.distance
    text = words.format(named, key.entry)
    return words.format(shortened(named, len(named) - len(text) + room), key.entry) if room else text


def shortened(text: str, room: int) -> str:
    """Return a text without its middle if it is longer than there is room for."""
    if len(text) <= max(room, _LEAST_NAME):
        return text
    kept = max(room, _LEAST_NAME) - 3
    return f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
