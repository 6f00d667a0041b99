"""The loss of every step, with its leading digits as colours below."""

import numpy as np
from matplotlib.figure import Figure

from harness.figures.canvas import BLUE, blank, curve_axes, frozen, own_style
from harness.figures.digits import DIGITS, digit_raster
from harness.figures.series import loss_limit, training_loss
from harness.record import Record


__all__ = ["loss_curve"]

_WIDTH, _HEIGHT = 640, 480
_LEFT, _RIGHT = 60, 20
_CELL_HEIGHT = 16
_RASTER_BOTTOM = 20


def loss_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw training loss against step, fixed axes; for float64, a raster of each loss's nine leading digits below.

    Args:
        record: a finished training.
        labelled: with title, axis labels and numbers, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure, unknown to pyplot.

    Raises:
        NoStreamError: the record has no loss.
        NonFiniteError: a loss is NaN or infinite; names the first such step.
    """
    steps, values = training_loss(record)
    with own_style():
        figure = blank(_WIDTH, _HEIGHT)
        digits = record.precision == "float64"
        bottom = 0.46 if digits else 0.12
        place = (_LEFT / _WIDTH, bottom, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, 0.92 - bottom)
        limits = (-0.5, record.num_steps - 0.5, 0.0, loss_limit(record, values))
        axes = curve_axes(figure, place, limits, labelled)
        axes.plot(steps, values, color=BLUE, linewidth=2)
        if digits:
            _add_digits(figure, values)
        if labelled:
            axes.set(title=f"Training loss, {record.name}, {record.device}", xlabel="step", ylabel="loss")
            _label_digits(figure, digits)
        return figure if labelled else frozen(figure)


def _add_digits(figure: Figure, values: list[float]) -> None:
    room = _WIDTH - _LEFT - _RIGHT
    chosen = values if len(values) <= room else [values[i] for i in _spread(len(values), room)]
    cell_width = room // len(chosen)
    figure.figimage(digit_raster(chosen, cell_width, _CELL_HEIGHT), xo=_LEFT, yo=_RASTER_BOTTOM, origin="upper")


def _spread(count: int, room: int) -> list[int]:
    """Return as many indices as there is room for, the first and the last among them."""
    spread: list[int] = np.linspace(0, count - 1, room).astype(int).tolist()
    return spread


def _label_digits(figure: Figure, digits: bool) -> None:
    if digits:
        height = (_RASTER_BOTTOM + DIGITS * _CELL_HEIGHT / 2) / _HEIGHT
        figure.text(0.05, height, "leading digits", rotation="vertical", va="center", ha="center", fontsize=10)
