"""Write the baseline of a record that a test checks."""

from harness.baselines.store import save_baseline
from harness.comparing.metrics import of_seeds
from harness.comparing.plausible import implausible
from harness.errors import BaselineError, BaselineImplausibleError
from harness.plugin.calibrating import calibrated, require_tight
from harness.plugin.record_check import RecordCheck
from harness.record import Baseline, Calibration
from harness.report.comparison_text import calibration_note
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
    calibration, states = calibrated(checked)
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
            require_tight(checked, stored.calibration, calibration)
        except BaselineError as error:
            session.counts.add_problem(error)
