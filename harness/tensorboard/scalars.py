"""What a record holds as TensorBoard scalars: tag to (step, value) pairs."""

import math

from harness.record import Record, Stream, StreamKey


Scalars = dict[str, list[tuple[int, float]]]
"""Tag to (step, value) pairs, steps ascending."""


def scalars_of(record: Record) -> Scalars:
    """Return every stream of numbers by tag, and two kinds of numbers that are computed from them.

    A tag is the stream's name; what comes before its first slash is the group it is shown in. Numbers logged in
    training are in the group "training", what a step leaves behind in "state_weight", "state_optimizer" and so on, what
    counts (images of a batch, steps of the optimizers, batches that a layer has seen) in "steps", other streams without
    a slash in a group named after their stage.

    Computed are "training/gradient_norm", of the gradient of all tensors together, and "update_ratio/TENSOR", the norm
    of each update over the norm of the weight after it.
    """
    scalars = {_tag(key, stream): [*stream.numbers()] for key, stream in record.streams.items()}
    for tag, points in (("training/gradient_norm", _gradient_norms(record)), *_update_ratios(record).items()):
        scalars.setdefault(tag, points)
    return {tag: points for tag, points in scalars.items() if points}


def _tag(key: StreamKey, stream: Stream) -> str:
    """Return a stream's tag. TensorBoard shows groups in alphabetical order, and the first two unfolded.

    A count among norms would flatten their chart.
    """
    if key == "optimizer_steps" or (key.startswith("buffer/") and key.endswith("num_batches_tracked")):
        return f"steps/{key.tensor}"
    groups = {"data": "steps/", "forward": "training/", "state": "state_"}
    return groups.get(stream.stage, "" if "/" in key else f"{stream.stage}/") + key


def _gradient_norms(record: Record) -> list[tuple[int, float]]:
    """Return the norm of the whole gradient of every step, as the optimizer got it."""
    totals: dict[int, float] = {}
    for _, stream in record.streams.of("gradient"):
        for step, norm in stream.numbers():
            totals[step] = math.hypot(totals.get(step, 0.0), norm)
    return sorted(totals.items())


def _update_ratios(record: Record) -> Scalars:
    ratios: Scalars = {}
    for key, stream in record.streams.of("update"):
        if weight := record.streams.get(StreamKey.of("weight", key.tensor)):
            norms = dict(weight.numbers())
            points = [(step, update / norms[step]) for step, update in stream.numbers() if norms.get(step)]
            ratios[f"update_ratio/{key.tensor}"] = points
    return ratios
