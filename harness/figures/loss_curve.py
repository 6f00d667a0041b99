"""The loss of every step, with its leading digits as colours below."""

from matplotlib.figure import Figure

from harness.figures.curve import curve
from harness.figures.series import loss_limit, training_loss
from harness.record import Record


__all__ = ["loss_curve"]


def loss_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw training loss against step, fixed axes; for float64, a raster of each loss's nine leading digits below.

    Args:
        record: a finished training.
        labelled: with title, axis labels, numbers and the loss of evaluations, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure, unknown to pyplot.

    Raises:
        NoStreamError: the record has no loss.
        NonFiniteError: a loss is NaN or infinite; names the first such step.
    """
    steps, values = training_loss(record)
    evaluated = record.streams.get("evaluation/loss")
    return curve(
        record,
        {"training": (steps, values)},
        limit=loss_limit(record, values),
        title=f"Training loss, {record.name}, {record.device}",
        quantity="loss",
        labelled=labelled,
        beside={"evaluation": (evaluated.steps, [float(value) for value in evaluated.values])} if evaluated else None,
    )
