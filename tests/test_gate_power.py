"""Promises of the gate's power: a fault counts as the gate would judge it."""

import dataclasses

import pytest

from harness.faults import FAULTS, Planting
from harness.faults.gate_power import Mutant, Power, examine, measure
from harness.record import Baseline, Calibration
from harness.recording.perturbation import Reran
from tests.test_comparison import series
from tests.test_record import record_of


BASELINE = record_of(
    {"loss": series(1.0, 1.0), "weight/w": series(1.0, stage="state")}, structure={"w": {"group": "w"}}
)


def faulty(**streams):
    """The baseline with other streams."""
    streams = {name.replace("__", "/"): stream for name, stream in streams.items()}
    return dataclasses.replace(BASELINE, streams={**BASELINE.streams, **streams})


def test_a_fault_that_the_gate_would_fail_is_caught():
    """The mutant knows where it shows."""
    found = examine("a", BASELINE, faulty(loss=series(1.0, 2.0)))

    assert found == Mutant("a", planted=True, divergence=(1, "forward", "loss"), caught=True)


def test_a_fault_that_moves_nothing_escapes():
    """It was planted, and the record is as before."""
    assert examine("a", BASELINE, faulty()) == Mutant("a", planted=True)


def test_a_fault_that_passes_as_drift_escapes():
    """Drift is green: whoever wants it red runs with --training-strict."""
    found = examine("a", BASELINE, faulty(weight__w=series(2.0, stage="state")))

    assert found == Mutant("a", planted=True, divergence=(0, "state", "weight/w"), caught=False)


def test_low_precision_is_judged_by_its_thresholds():
    """What noise explains escapes, what it does not is caught."""
    calibration = Calibration(states="0" * 64, margin=3.0, variants=(), largest={"loss": (0.125,)})
    baseline = Baseline(dataclasses.replace(BASELINE, precision="float32"), calibration=calibration)

    def mutant(loss):
        streams = {"loss": series(1.0, loss), "distance__weight__w": series(0.0, stage="state")}
        return examine("a", baseline, dataclasses.replace(faulty(**streams), precision="float32"))

    assert mutant(1.3) == Mutant("a", planted=True)
    assert mutant(1.4).caught


def measured(*, control=BASELINE, under_a_fault=None, outcome=(True, "")):
    """The power of the baseline's gate; a fault changes it into another record."""

    def rerun(how):
        if not how.fault:
            return Reran(control, (False, ""))
        return Reran(under_a_fault() if callable(under_a_fault) else under_a_fault or BASELINE, outcome)

    return measure(BASELINE, BASELINE, None, rerun)


@pytest.mark.parametrize(
    "outcome", [(False, "no dropout"), Planting("dropout-changed").outcome(BASELINE)], ids=["no effect", "no recorder"]
)
def test_a_fault_that_took_no_effect_is_neither(outcome):
    """Whatever the record shows: the reason is told, and the score leaves it out."""
    found = measured(under_a_fault=faulty(loss=series(5.0, 5.0)), outcome=outcome)

    assert found.mutants == [Mutant(fault, planted=False, reason=outcome[1]) for fault in FAULTS]
    assert outcome[1] in ("no dropout", "no recorder watches this training")
    assert found.planted == []


def test_a_training_that_breaks_under_a_fault_has_caught_it():
    """Nobody overlooks an exception; its first line is the reason."""

    def broken():
        raise ZeroDivisionError("a sum\nof nothing")

    reason = "the training ended with ZeroDivisionError: a sum"
    expected = [Mutant(fault, planted=True, reason=reason, caught=True) for fault in FAULTS]

    assert measured(under_a_fault=broken).mutants == expected


def test_nothing_is_planted_in_a_training_that_is_another_each_time():
    """Its faults would all be caught, whatever the gate is worth."""
    assert measured(control=faulty(loss=series(1.0, 2.0))) is None
    assert measured().score == 0.0


def test_the_score_is_the_share_of_planted_faults_that_are_caught():
    """What was not planted does not count; without any planted fault nothing escaped."""
    caught, escaped = Mutant("a", planted=True, caught=True), Mutant("b", planted=True)
    absent = Mutant("c", planted=False)

    assert Power(BASELINE, [caught, escaped, absent, caught, caught]).score == 0.75
    assert Power(BASELINE, [caught, escaped, absent]).caught == [caught]
    assert Power(BASELINE, [absent]).score == Power(BASELINE, []).score == 1.0
    assert Power(BASELINE, [escaped]).score == 0.0
