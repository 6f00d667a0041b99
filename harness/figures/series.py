"""Read from a record what a figure draws."""

import math

from harness.errors import NonFiniteError, NoStreamError
from harness.recipe import CLASSES
from harness.record import Record, Stream


__all__ = ["finite_series", "loss_limit", "training_loss"]


def training_loss(record: Record) -> tuple[list[int], list[float]]:
    """Return steps and values of the training loss: the stream "loss", or else the first of the forward stage.

    Raises:
        NoStreamError: nothing was logged.
        NonFiniteError: a loss is NaN or infinite.
    """
    logged = (name for name, stream in record.streams.items() if stream.stage == "forward")
    name = "loss" if "loss" in record.streams else next(logged, "loss")
    return finite_series(record, name, "loss_curve", "log it: recorder.log(loss=loss)")


def finite_series(record: Record, name: str, figure: str, remedy: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a stream.

    Args:
        record: the record.
        name: the stream's name.
        figure: the figure that wants it, for the message.
        remedy: what to do if it is missing, for the message.

    Raises:
        NoStreamError: there is no such stream.
        NonFiniteError: a value is NaN or infinite.
    """
    stream = record.streams.get(name)
    if stream is None:
        raise NoStreamError(name=record.name, stream=name, figure=figure, remedy=remedy)
    _check_finite(record, name, stream)
    return list(stream.steps), [float(value) for value in stream.values]


def _check_finite(record: Record, name: str, stream: Stream) -> None:
    for step, value in stream.non_finite():
        raise NonFiniteError(name=record.name, stream=name, step=step, stage=stream.stage, value=value)


def loss_limit(record: Record, values: list[float]) -> float:
    """Return the upper limit of a loss axis, the same for a record and its baseline.

    A recipe's cross-entropy starts near ln(classes), so 1.5 times that. Of a watched loop nothing is known: the next
    power of two above 1.25 times its first loss.
    """
    if record.recipe:
        return 1.5 * math.log(CLASSES)
    return 2.0 ** math.ceil(math.log2(max(1.25 * abs(values[0]), 1e-6)))
