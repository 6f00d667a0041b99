"""Measure the thresholds of a training when it becomes a baseline, and again when they are verified."""

import dataclasses

from harness.baselines.store import save_baseline
from harness.comparing.thresholds import dull, loosened
from harness.comparing.variants import calibrate, require_repeatable, require_same
from harness.errors import BaselineError, RerunError, UnseededError
from harness.plugin.record_check import RecordCheck
from harness.record import Baseline, Calibration
from harness.recording.states import States
from harness.report.comparison_text import calibration_note, draws_text


def calibrated(checked: RecordCheck) -> tuple[Calibration | None, States | None]:
    """Return a record's calibration, if its training can be run again, and the states that belong to it, if any.

    A recipe that rounding would leave unjudged after a while is put back on states of its own.

    Raises:
        UnseededError: run again as it is, the training is another.
        RerunError: it has states, but cannot be run again.
    """
    record, states = checked.judged, checked.kept_states()
    calibration = _calibration(checked, states)
    if calibration and dull(calibration, record.precision) and checked.is_recipes and not states:
        states = States()
        require_same(record, checked.rerun, states)
        calibration = calibrate(record, states, checked.rerun)
    return calibration, states


def verified(checked: RecordCheck, baseline: Baseline) -> str:
    """Measure a baseline's thresholds again, and store them where they were inherited or never measured.

    Returns:
        What there is to say of them.

    Raises:
        BaselineError: they are far above what the training shows now, or cannot be written.
        UnseededError: run again as it is, the training is another.
    """
    stored, states = baseline.calibration, checked.stored_states(baseline)
    found = _calibration(checked, states)
    if found and (stored is None or stored.inherited):
        trace = baseline.trace or checked.traced.kept
        save_baseline(checked.path, dataclasses.replace(baseline, calibration=found, trace=trace), states)
    elif found and stored:
        require_tight(checked, stored, found)
    return f"verified: {calibration_note(checked.record, found, checked.test.id)}"


def require_tight(checked: RecordCheck, stored: Calibration, found: Calibration) -> None:
    """Refuse a calibration that allows far more than one that was measured now; BaselineError says where."""
    if place := loosened(stored, found, checked.record.precision):
        family, step, allowed, measured = place
        raise BaselineError.loose(
            path=checked.shown_path,
            family=family,
            step=step,
            stored=allowed,
            measured=measured,
            draws=draws_text(found),
            command=checked.test.regenerate_command,
        )


def _calibration(checked: RecordCheck, states: States | None) -> Calibration | None:
    if checked.record.source == "event files":
        return None
    if checked.is_recipes:  # its variants are trained in this process, too
        require_same(checked.judged, checked.rerun)
    try:
        require_repeatable(checked.judged, checked.rerun)
        return calibrate(checked.judged, states, checked.rerun)
    except RerunError as error:
        if states or isinstance(error, UnseededError):
            raise
        return None
