"""Read from a record what a figure draws."""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import NonFiniteError, NotRecordedError
from harness.recipe import CLASSES
from harness.record.record import Record
from harness.record.streams import Stream


Thing = TypeVar("Thing")

_MOST_STEPS = 10**6
"""Of a run that is drawn with a column a step: a file may claim steps that were never run."""

WATCH = "watch the model and its optimizer: recorder.watch(model, optimizer)"
"""What to do where a record has no tensors."""


def training_loss(record: Record, figure: str = "loss_curve") -> tuple[list[int], list[float]]:
    """Return steps and values of the training loss: the stream "loss", or else the first of the forward stage.

    Args:
        record: the record.
        figure: the figure that wants it, for the message.

    Raises:
        NotRecordedError: nothing was logged.
        NonFiniteError: a loss is NaN or infinite.
    """
    logged = (name for name, stream in record.streams.items() if stream.stage == "forward")
    name = "loss" if "loss" in record.streams else next(logged, "loss")
    return finite_series(record, name, figure, "log it: recorder.log(loss=loss)")


def finite_series(record: Record, name: str, figure: str, remedy: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a stream.

    Args:
        record: the record.
        name: the stream's name.
        figure: the figure that wants it, for the message.
        remedy: what to do if it is missing, for the message.

    Raises:
        NotRecordedError: there is no such stream.
        NonFiniteError: a value is NaN or infinite.
    """
    stream = record.streams.find(name)
    if stream is None:
        raise NotRecordedError.missing(name, name=record.name, figure=figure, remedy=remedy)
    _check_finite(record, name, stream)
    return list(stream.steps), [float(value) for value in stream.values]


def _check_finite(record: Record, name: str, stream: Stream) -> None:
    """Check that there are finite numbers only: a file may hold texts where a training logs numbers."""
    texts = ((step, value) for step, value in zip(stream.steps, stream.values, strict=True) if isinstance(value, str))
    for step, value in (*stream.non_finite(), *texts):
        raise NonFiniteError.at(name=record.name, stream=name, step=step, stage=stream.stage, value=value)


def layer_norms(
    record: Record, kind: str, figure: str, wanted: Callable[[str], bool] = lambda _: True
) -> dict[str, NDArray[np.float64]]:
    """Return the norm of each layer at each step: of its tensors together, NaN at steps without a value.

    Args:
        record: the record.
        kind: "gradient", "update" or "weight".
        figure: the figure that wants it, for the message.
        wanted: which tensors, by name.

    Raises:
        NotRecordedError: there is no such stream, or the run has more steps than a figure shows.
        NonFiniteError: a norm is NaN or infinite.
    """
    layers: dict[str, NDArray[np.float64]] = {}
    check_length(record, record.num_steps, figure)
    for key, _ in record.streams.of(kind):
        if wanted(key.tensor):
            steps, values = finite_series(record, key, figure, WATCH)
            norms = np.full(record.num_steps, np.nan)
            norms[steps] = values
            layer = key.tensor.rpartition(".")[0] or key.tensor
            layers[layer] = _joined(layers[layer], norms) if layer in layers else norms
    if not layers:
        raise NotRecordedError.missing(f"{kind} norms", name=record.name, figure=figure, remedy=WATCH)
    return layers


def check_length(record: Record, steps: int, figure: str) -> None:
    """Check, before there is made room for it, that a run is not longer than a figure with a column a step shows.

    Raises:
        NotRecordedError: it is.
    """
    if steps > _MOST_STEPS:
        remedy = f"the figure shows runs of at most {_MOST_STEPS} steps"
        raise NotRecordedError.missing("run that is short enough", name=record.name, figure=figure, remedy=remedy)


def _joined(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.hypot(np.nan_to_num(one), np.nan_to_num(other))
    return np.where(np.isnan(one) & np.isnan(other), np.nan, norms)


def thinned(things: Mapping[str, Thing], room: int) -> dict[str, Thing]:
    """Return as many entries of a mapping as there is room for, in its order, the first and the last among them."""
    items = list(things.items())
    return dict(items[index] for index in spread(len(items), room))


def spread(count: int, room: int) -> list[int]:
    """Return indices of as many of `count` things as there is room for, the first and the last among them."""
    return list(range(count)) if count <= room else np.linspace(0, count - 1, room).astype(int).tolist()


def shortened(name: str, room: int) -> str:
    """Return a tensor's name cut on the left, where names are alike, if it has more characters than there is room."""
    return name if len(name) <= room else "..." + name[3 - room :]


def loss_limit(record: Record, values: list[float]) -> float:
    """Return the upper limit of a loss axis, the same for a record and its baseline.

    A recipe's cross-entropy starts near ln(classes), so 1.5 times that. Of a watched loop nothing is known: the next
    power of two above 1.25 times its first loss.
    """
    if record.recipe:
        return 1.5 * math.log(CLASSES)
    return 2.0 ** math.ceil(math.log2(max(1.25 * abs(values[0]), 1e-6)))
