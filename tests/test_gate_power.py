"""Promises of the gate's power: a fault counts as the gate would judge it."""

import dataclasses

import pytest

from harness.errors import FaultError, RerunError
from harness.faults import FAULTS, OF_RANKS, Planting
from harness.faults.gate_power import Mutant, Power, examine, measure
from harness.record import Baseline, Calibration, World
from harness.recording.perturbation import Reran
from harness.recording.states import States
from tests.test_comparison import series
from tests.test_record import record_of


BASELINE = record_of(
    {"loss": series(1.0, 1.0), "weight/w": series(1.0, stage="state")},
    structure={"w": {"group": "w"}},
    world=World(0, 2, "gloo"),
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


@pytest.mark.parametrize("strict", [False, True])
def test_a_fault_that_passes_as_drift_escapes(strict):
    """Drift is green, but where the session is strict."""
    found = examine("a", BASELINE, faulty(weight__w=series(2.0, stage="state")), strict)

    assert found == Mutant("a", planted=True, divergence=(0, "state", "weight/w"), caught=strict)


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


@pytest.mark.parametrize("world", [None, World(0, 1, "gloo", 2)], ids=["no group", "a group of one"])
def test_faults_of_ranks_are_not_tried_in_one_process(world):
    """No run is wasted on them, and nobody who trains in one process has to read of them."""
    alone, tried = dataclasses.replace(BASELINE, world=world), []

    def rerun(how):
        tried.append(how.fault)
        return Reran(alone, (True, ""))

    found = measure(alone, alone, None, rerun)
    assert [mutant.fault for mutant in found.mutants] == [fault for fault in FAULTS if fault not in OF_RANKS]
    assert not OF_RANKS & {*tried}


ERROR = ZeroDivisionError("a sum\nof nothing")
BROKEN = FaultError.broken(fault="a", error=ERROR)
NOT_TRIED = [
    (FaultError.planting(fault="a", error=ERROR), "planting raised ZeroDivisionError: a sum"),
    (
        FaultError.untouched(fault="a", error=ERROR),
        "the training ended with ZeroDivisionError: a sum, which tells nothing of the fault",
    ),
    (
        RerunError.failed(nodeid="t", change="fault a", output="Killed"),
        "this training was run again with fault a, and that run left no record",
    ),
]


def raising(error):
    """Train, so to speak."""

    def train():
        raise error

    return train


def test_a_training_that_breaks_under_a_fault_has_caught_it():
    """Nobody overlooks an exception; its first line is the reason."""
    reason = "the training ended with ZeroDivisionError: a sum"
    expected = [Mutant(fault, planted=True, reason=reason, caught=True) for fault in FAULTS]

    found = measured(under_a_fault=raising(BROKEN))
    assert found.mutants == expected
    assert found.reaches(1.0)


@pytest.mark.parametrize(("error", "reason"), NOT_TRIED)
def test_a_fault_that_could_not_be_tried_is_not_caught(error, reason):
    """An error of the planting, of the machine or of the process: nothing is known, and no least share is reached."""
    found = measured(under_a_fault=raising(error))

    assert found.mutants == [Mutant(fault, planted=False, reason=reason, failed=True) for fault in FAULTS]
    assert found.score is None
    assert found.reaches(0.0)
    assert not found.reaches(0.01)
    assert not Power(BASELINE, [Mutant("a", planted=True, caught=True), found.mutants[0]]).reaches(0.01)


@pytest.mark.parametrize("moved", [2.0, 1.0 + 1e-15])
def test_nothing_is_planted_in_a_training_that_is_another_each_time(moved):
    """In the least bit: its faults would all be caught, whatever the gate is worth."""
    assert measured(control=faulty(loss=series(1.0, moved))) is None
    assert measured().score == 0.0


def test_two_runs_from_the_same_states_are_the_same():
    """What is put back on states is not the training as it is, but twice the same."""
    from_states = faulty(loss=series(1.0, 1.0 + 1e-12))

    def power(*controls):
        runs = iter(controls)
        return measure(
            BASELINE, BASELINE, States(), lambda how: Reran(BASELINE if how.fault else next(runs), (True, ""))
        )

    assert power(from_states, from_states).score == 0.0
    assert power(from_states, BASELINE) is None


def test_the_score_is_the_share_of_planted_faults_that_are_caught():
    """What was not planted does not count; without any planted fault there is none, and no least share is reached."""
    caught, escaped = Mutant("a", planted=True, caught=True), Mutant("b", planted=True)
    absent = Mutant("c", planted=False)

    assert Power(BASELINE, [caught, escaped, absent, caught, caught]).score == 0.75
    assert Power(BASELINE, [caught, escaped, absent]).caught == [caught]
    assert Power(BASELINE, [escaped]).score == 0.0
    assert Power(BASELINE, [absent]).score is None
    reached = [least for least in (0.0, 0.5, 0.51) if Power(BASELINE, [caught, escaped, absent]).reaches(least)]
    assert reached == [0.0, 0.5]
    assert [least for least in (0.0, 0.01) if Power(BASELINE, [absent]).reaches(least)] == [0.0]
