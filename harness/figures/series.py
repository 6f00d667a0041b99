"""Read from a record what a figure draws; the figure is named in the errors."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from harness.errors import NonFiniteError, NotRecordedError
from harness.figures.canvas import Values
from harness.recipe import CLASSES
from harness.record.record import Record


Thing = TypeVar("Thing")

WATCH = "watch the model and its optimizer: recorder.watch(model, optimizer)"
KEEP_PREDICTIONS = "call recorder.keep_predictions(images, labels, predicted) after the last evaluation"
IMAGES = "with images of 1 or 3 channels: (N, C, H, W) or (N, H, W, C), uint8 or finite numbers"
"""What to do where a record has no tensors, or no predictions."""


def training_losses(record: Record, figure: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return steps and values of each training loss by name: what was logged under such a name, or else all of it.

    The stream "loss" is the first.
    """
    logged = [str(key) for key, stream in record.streams.items() if stream.stage == "forward"]
    losses = sorted((name for name in logged if "loss" in name.lower()), key=lambda name: name != "loss")
    remedy = "log it: recorder.log(loss=loss)"
    return {name: finite_series(record, name, figure, remedy) for name in losses or logged or ["loss"]}


def finite_series(record: Record, name: str, figure: str, remedy: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a stream that is there and holds finite numbers only, or raise a RecordError."""
    stream = record.streams.find(name)
    if stream is None:
        raise NotRecordedError.missing(name, name=record.name, figure=figure, remedy=remedy)
    # a file may hold texts where a training logs numbers
    texts = ((step, value) for step, value in zip(stream.steps, stream.values, strict=True) if isinstance(value, str))
    for step, value in (*stream.non_finite(), *texts):
        raise NonFiniteError.at(name=record.name, stream=name, step=step, stage=stream.stage, value=value)
    return list(stream.steps), [float(value) for value in stream.values]


def layer_norms(
    record: Record, kind: str, figure: str, wanted: Callable[[str], bool] = lambda _: True
) -> dict[str, Values]:
    """Return the norm of each layer at each step: of its (wanted) tensors together, NaN at steps without a value."""
    layers: dict[str, Values] = {}
    length = record.num_steps
    check_length(record, length, figure)
    for key, _ in record.streams.of(kind):
        if wanted(key.tensor):
            steps, values = finite_series(record, key, figure, WATCH)
            norms = np.full(length, np.nan)
            norms[steps] = values
            layer = key.tensor.rpartition(".")[0] or key.tensor
            layers[layer] = _joined(layers[layer], norms) if layer in layers else norms
    if not layers:
        raise NotRecordedError.missing(f"{kind} norms", name=record.name, figure=figure, remedy=WATCH)
    return layers


def _joined(one: Values, other: Values) -> Values:
    norms = np.hypot(np.nan_to_num(one), np.nan_to_num(other))
    return np.where(np.isnan(one) & np.isnan(other), np.nan, norms)


def check_length(record: Record, steps: int, figure: str) -> None:
    """Refuse a run that is too long for a column a step, before room is made: a file may claim what was never run."""
    most = 10**6
    if steps > most:
        remedy = f"the figure shows runs of at most {most} steps"
        raise NotRecordedError.missing("run that is short enough", name=record.name, figure=figure, remedy=remedy)


def thinned(things: Mapping[str, Thing], room: int) -> dict[str, Thing]:
    """Return as many entries of a mapping as there is room for, in its order, the first and the last among them."""
    items = list(things.items())
    return dict(items[index] for index in spread(len(items), room))


def spread(count: int, room: int) -> list[int]:
    """Return indices of as many of `count` things as there is room for, the first and the last among them."""
    return list(range(count)) if count <= room else np.linspace(0, count - 1, room).astype(int).tolist()


def shortened(name: str, room: int) -> str:
    """Return a name cut on the left, where names are alike, if it has more characters than there is room.

    A stream's kind, before the first "/", stays.
    """
    kind = name[: name.find("/") + 1]
    if len(name) <= room or len(kind) > room // 2:
        return name if len(name) <= room else f"...{name[3 - room :]}"
    return f"{kind}...{name[len(kind) + 3 - room :]}"


def told_apart(names: Iterable[str], room: int, cut: Callable[[str, int], str] = shortened) -> list[str]:
    """Return names cut to as many characters as there is room for, so that no two become alike; numbered, if need be.

    They are cut as given, if that keeps all apart.
    """
    whole = list(names)
    for way in (cut, without_middle):
        texts = [way(name, room) for name in whole]
        if len(set(texts)) == len(set(whole)):
            return texts
    return [f"{place} {cut(name, room - len(f'{place} '))}" for place, name in enumerate(whole)]


def without_middle(name: str, room: int) -> str:
    """Return a name cut in its middle, if it has more characters than there is room."""
    head = (room - 3) // 2
    return name if len(name) <= room else f"{name[:head]}...{name[head + 3 - room :]}"


def decades(values: Values) -> tuple[float, float]:
    """Return the powers of ten around positive values."""
    return 10.0 ** math.floor(math.log10(values.min())), 10.0 ** math.ceil(math.log10(values.max()) + 1e-9)


def loss_limits(record: Record, losses: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Return the limits of a loss axis, the same for a record and its baseline.

    A shipped recipe's cross-entropy starts near ln(classes), so 1.5 times that. Of a watched loop nothing is known: the
    next power of two above 1.25 times its (largest) first loss. The axis begins at zero unless losses fall well below.
    """
    if record.data:
        return 0.0, 1.5 * math.log(CLASSES)
    losses = [values for values in losses if values]
    first = max(abs(values[0]) for values in losses)
    limit: float = 2.0 ** math.ceil(math.log2(max(1.25 * first, 1e-6)))
    return (-limit if min(map(min, losses)) < -limit / 100 else 0.0), limit
