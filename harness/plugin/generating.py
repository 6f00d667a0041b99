"""Write the baseline of a record that a test checks, and measure its thresholds again."""

import dataclasses

from harness.baselines.store import save_baseline
from harness.comparing.calibrating import calibrated, calibration_of
from harness.comparing.metrics import of_seeds
from harness.comparing.plausible import implausible
from harness.comparing.thresholds import loosened
from harness.errors import BaselineError, BaselineImplausibleError
from harness.plugin.record_check import RecordCheck
from harness.record import Baseline, Calibration
from harness.report.comparison_text import calibration_note, draws_text
from harness.report.session_text import loosened_text
from harness.report.words import gate_text, title


def generate(checked: RecordCheck) -> None:
    """Write the baseline of a record, with the thresholds that are measured now.

    Raises:
        BaselineError: it could not be judged by, or cannot be written.
        AcceptError: a loosened gate is to be written, and no reason is given.
        HarnessError: the training cannot be run again where that is needed.
    """
    session = checked.session
    if not (session.adds_environment and checked.record.is_low_precision):  # each device has its own
        checked.test.skip_unless_writer()
    if session.only_missing and checked.path.exists():
        session.counts.did(checked.shared_path.name, checked.test.id, "kept")
        return
    record, counts, seeds = checked.record, session.counts, {}
    gate = checked.reasoned(session.origin.get("reason", ""))
    kept, is_recipes = checked.kept_states(), checked.is_recipes
    calibration, states = calibrated(checked.judged, kept, checked.rerun, is_recipes=is_recipes)
    counts.notes.append(calibration_note(checked.judged, calibration, checked.test.id))
    counts.notes += loosened_text([(checked.test.id, gate_text(gate))])
    _look_back(checked, calibration)
    if session.seeds:
        seeds = dict(of_seeds(checked.judged, session.seeds, checked.rerun))
    sources = {name: content for name, content in checked.test.sources(checked.sources).items() if content}
    is_traced = bool(calibration) or (record.is_low_precision and record.source == "recorder")
    trace = checked.traced.kept if is_traced else None
    if is_traced and not trace:
        counts.notes.append(f"{title(record)}: no operations are kept: {checked.traced.error}   {checked.test.id}")
    baseline = Baseline(record, session.origin, calibration, seeds, gate, trace, sources)
    if reason := implausible(baseline):
        raise BaselineImplausibleError.unjudgeable(nodeid=checked.test.id, reason=reason)
    save_baseline(checked.path, baseline, states)
    checked.withdraw()
    counts.did(checked.shared_path.name, checked.test.id, "generated")


def _look_back(checked: RecordCheck, calibration: Calibration | None) -> None:
    """In CI, report a stored baseline of the same training whose thresholds are far above what was measured now."""
    session = checked.session
    if not (session.in_ci and calibration):
        return
    try:
        stored = checked.baseline()
    except BaselineImplausibleError as error:
        session.counts.add_problem(error)
        return
    except BaselineError:  # there is none, or none that could be loose
        return
    if stored.calibration and stored.record.structure == checked.record.structure:
        try:
            _require_tight(checked, stored.calibration, calibration)
        except BaselineError as error:
            session.counts.add_problem(error)


def _require_tight(checked: RecordCheck, stored: Calibration, found: Calibration) -> None:
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


def verified(checked: RecordCheck, baseline: Baseline) -> str:
    """Measure a baseline's thresholds again, and store them where they were inherited or never measured.

    Returns:
        What there is to say of them.

    Raises:
        BaselineError: they are far above what the training shows now, or cannot be written.
        UnseededError: run again as it is, the training is another.
    """
    stored, states = baseline.calibration, checked.stored_states(baseline)
    found = calibration_of(checked.judged, states, checked.rerun, is_recipes=checked.is_recipes)
    if found and (stored is None or stored.inherited):
        trace = baseline.trace or checked.traced.kept
        save_baseline(checked.path, dataclasses.replace(baseline, calibration=found, trace=trace), states)
    elif found and stored:
        _require_tight(checked, stored, found)
    return f"verified: {calibration_note(checked.record, found, checked.test.id)}"
