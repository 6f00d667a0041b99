"""Which thresholds the training of a record gets: measured, if it can be run again, or none."""

from harness.comparing.thresholds import dull
from harness.comparing.variants import calibrate, require_repeatable, require_same
from harness.errors import RerunError, UnseededError
from harness.record import Calibration, Record
from harness.recording.perturbation import Rerunner
from harness.recording.states import States


def calibrated(
    record: Record, states: States | None, rerun: Rerunner, *, is_recipes: bool
) -> tuple[Calibration | None, States | None]:
    """Return a record's calibration, if its training can be run again, and the states that belong to it, if any.

    A recipe that rounding would leave unjudged after a while is put back on states of its own.

    Args:
        record: of the training that becomes a baseline.
        states: that it kept on its way.
        rerun: runs it again.
        is_recipes: whether a recipe was trained: its variants are trained in this process, too.

    Raises:
        UnseededError: run again as it is, the training is another.
        RerunError: it has states, but cannot be run again.
    """
    calibration = calibration_of(record, states, rerun, is_recipes=is_recipes)
    if calibration and dull(calibration, record.precision) and is_recipes and not states:
        states = States()
        require_same(record, rerun, states)
        calibration = calibrate(record, states, rerun)
    return calibration, states


def calibration_of(record: Record, states: States | None, rerun: Rerunner, *, is_recipes: bool) -> Calibration | None:
    """Return the calibration that a training has on these states, as `calibrated` does."""
    if record.source == "event files":
        return None
    if is_recipes:
        require_same(record, rerun)
    try:
        require_repeatable(record, rerun)
        return calibrate(record, states, rerun)
    except RerunError as error:
        if states or isinstance(error, UnseededError):
            raise
        return None
