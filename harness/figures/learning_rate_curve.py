"""The learning rate of every step and parameter group, with its leading digits as colours below."""

import math

from matplotlib.figure import Figure

from harness.figures.curve import curve
from harness.figures.series import WATCH, finite_series
from harness.record import Record


__all__ = ["learning_rate_curve"]

_PREFIX = "learning_rate/"
_ROUND = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)


def learning_rate_curve(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the learning rate of each parameter group against step; groups of one schedule share a curve.

    Args:
        record: a finished training.
        labelled: with title, axis labels, numbers and the groups' names, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure, unknown to pyplot. For float64 it holds the nine leading digits of each rate.

    Raises:
        NoStreamError: the record has no learning rate.
        NonFiniteError: a rate is NaN or infinite; names the first such step.
    """
    names = [name for name in record.streams if name.startswith(_PREFIX)] or ["learning rate"]
    schedules: dict[tuple[tuple[int, ...], tuple[float, ...]], list[str]] = {}
    for name in names:
        steps, values = finite_series(record, name, "learning_rate_curve", WATCH)
        schedules.setdefault((tuple(steps), tuple(values)), []).append(name.removeprefix(_PREFIX))
    largest = max(max(map(abs, values), default=0.0) for _, values in schedules)
    return curve(
        record,
        {f"group of {', '.join(groups)}": points for points, groups in schedules.items()},
        limit=_limit(largest),
        title=f"Learning rate, {record.name}, {record.device}",
        quantity="learning rate",
        labelled=labelled,
    )


def _limit(largest: float) -> float:
    """Return the end of the axis: a round number a little above the largest rate."""
    if not largest:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(step * power for step in _ROUND if step * power > 1.02 * largest)
