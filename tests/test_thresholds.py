"""Promises of the thresholds: exact where a training repeats itself, calibrated where it was put back on states."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparing.thresholds import EVENTS_THRESHOLD, MARGINS, THRESHOLD, Limit, dull, limit, loosened
from harness.record import STAGES, Calibration
from tests.test_record import record_of


FLOOR = 2.0**-22
"""Two units in the last place of a float32."""


def calibration(steps=(0, 4), margin=3.0, states=True, **largest):
    """A calibration of two segments: `optimizer__exp_avg` stands for that family."""
    families = {family.replace("__", "/"): sizes for family, sizes in largest.items()}
    states = "0" * 64 if states else ""
    return Calibration(states=states, steps=tuple(steps), margin=margin, variants=("2 threads",), largest=families)


def found(
    family="loss",
    stage="forward",
    step=0,
    precision="float32",
    elsewhere=False,
    calibration=None,
    typical=1.0,
    **changes,
):
    """The limit of a float32 loss at step 0, unless something else is said."""
    record = record_of({}, precision=precision, **changes)
    return limit(family, stage, step, record=record, elsewhere=elsewhere, calibration=calibration, typical=typical)


stages = st.sampled_from(STAGES)
families = st.sampled_from(["loss", "gradient", "evaluation/accuracy", "distance/weight"])
steps, precisions = st.integers(0, 10**6), st.sampled_from(["float64", "float32", "bfloat16"])
sizes = st.lists(st.floats(0, 10), max_size=5).map(tuple)
calibrations = st.none() | st.builds(
    lambda starts, margin, largest: calibration(sorted({0, *starts}), margin, loss=largest),
    st.lists(st.integers(0, 99), max_size=5),
    st.floats(0, 1e300),
    sizes,
)


@given(families, stages, steps, st.booleans())
def test_float64_that_was_not_measured_has_one_threshold(family, stage, step, elsewhere):
    """Whatever the stream, the step and the machine."""
    assert found(family, stage, step, "float64", elsewhere) == Limit(THRESHOLD, measured=None, place=0)


def test_float64_is_given_what_it_showed_itself():
    """Thirty times what rounding did up to this step; 1e-13 where it did less; after the last step, as at it."""
    measured = calibration((0,), 30.0, states=False, loss=(0.0, 1e-15, 1e-12))

    assert [found(step=step, precision="float64", calibration=measured) for step in range(4)] == [
        Limit(1e-13, 0.0, 0),
        Limit(1e-13, 1e-15, 1),
        Limit(pytest.approx(3e-11), 1e-12, 2),
        Limit(pytest.approx(3e-11), 1e-12, 3),
    ]
    assert found("gradient", "backward", 2, "float64", calibration=measured) == Limit(1e-13, 0.0, 2)


def test_float64_that_amplifies_too_much_is_not_judged():
    """Beyond 1e-6 no finite number is different, but what rounding did explains no more than a tenth.

    NaN and infinity are different, and so is what has no size, unless a draw changed it: then it is not judged.
    """
    measured = calibration((0,), 30.0, states=False, loss=(1e-9, 1e-7), evaluations=(1.0,))
    lost = found(step=1, precision="float64", calibration=measured)

    assert (found(step=0, precision="float64", calibration=measured).judges, lost.judges) == (True, False)
    assert 1e300 < lost.size < math.inf
    assert lost.of_the_rest == Limit(0.0)
    assert lost.explained == pytest.approx(3e-6)
    counted = found("evaluations", precision="float64", calibration=measured)
    assert (counted.of_the_rest, counted.explained) == (counted, 0.1)
    assert dull(measured, "float64") == {"loss": 1, "evaluations": 0}
    assert dull(measured, "float32") == {"evaluations": 0}


@pytest.mark.parametrize(("typical", "floor"), [(2.0, 1e-13), (0.1, 1e-13), (1e-3, 1e-11), (1e-4, 1e-10), (0.0, 1e-13)])
def test_small_logged_numbers_have_the_floor_of_what_they_may_be_the_difference_of(typical, floor):
    """A centred mean near zero keeps the rounding of the sum behind it."""
    given = found(precision="float64", calibration=calibration((0,), states=False), typical=typical)
    gradient = found("gradient", "backward", 0, "float64", calibration=calibration((0,), states=False), typical=typical)

    assert given.size == pytest.approx(floor)
    assert gradient.size == 1e-13


def test_thresholds_that_were_loosened_are_found():
    """A size, or the margin, far above what is measured again; less than a hundredfold is another draw."""
    honest = calibration((0,), 30.0, states=False, loss=(1e-14, 1e-13), gradient=(1e-12,))
    wide = calibration((0,), 30.0, states=False, loss=(1e-14, 2e-11))
    margin = calibration((0,), 30000.0, states=False, loss=(1e-14, 1e-13))
    other = calibration((0,), 30.0, states=False, buffer=(1e-9,))

    assert loosened(honest, honest, "float64") is None
    assert loosened(calibration((0,), 30.0, states=False, loss=(9e-13,)), honest, "float64") is None
    assert loosened(wide, honest, "float64") == ("loss", 1, pytest.approx(6e-10), pytest.approx(3e-12))
    assert loosened(margin, honest, "float64") == ("loss", 0, pytest.approx(3e-10), pytest.approx(3e-13))
    assert loosened(other, honest, "float64") == ("buffer", 0, pytest.approx(3e-8), 1e-13)
    assert loosened(honest, calibration((0,), 30.0, states=False, loss=(1e-9,), gradient=(1.0,)), "float64") is None


@given(families, steps, precisions, st.booleans(), calibrations)
def test_learning_rates_are_judged_in_float64(family, step, precision, elsewhere, calibration):
    """They are computed in double precision, whatever the training's own; a variant that moves them has other ones."""
    given = found(family, "schedule", step, precision, elsewhere, calibration)

    assert given == Limit(THRESHOLD) or (given.measured or 0) > 0


@given(families, stages.filter(lambda stage: stage != "schedule"), steps, st.sampled_from(["float32", "bfloat16"]))
def test_low_precision_repeats_itself_exactly_where_it_was_made(family, stage, step, precision):
    """Same environment, no states: same bits."""
    assert found(family, stage, step, precision) == Limit(0.0)


@given(families, stages, steps, st.sampled_from(["float32", "bfloat16"]), st.booleans(), calibrations)
def test_no_threshold_explains_a_number_that_vanishes(family, stage, step, precision, elsewhere, calibration):
    """A fall to zero is a deviation of 1, a change of sign more: always beyond, however far the variants parted."""
    assert 0 <= found(family, stage, step, precision, elsewhere, calibration).size < 1


@given(families, stages, steps)
def test_the_envelope_of_another_machine_never_shrinks(family, stage, step):
    """Trainings part; nothing brings them together again."""
    for precision in ("float32", "bfloat16"):
        earlier, later = (found(family, stage, at, precision, elsewhere=True).size for at in (step, step + 1))

        assert earlier <= later


def test_the_envelope_is_what_was_measured():
    """Three times the largest of 33 variants, at a measured step and between two; tensors part earlier than losses."""
    assert found(step=10, elsewhere=True).size == pytest.approx(MARGINS["float32"] * 4e-4)
    assert 3e-3 < found(step=25, elsewhere=True).size / MARGINS["float32"] < 1e-2
    assert found(step=10**6, elsewhere=True) == found(step=47, elsewhere=True)
    assert found("gradient", "backward", 10, elsewhere=True).size > 100 * found(step=10, elsewhere=True).size
    assert found(precision="bfloat16", elsewhere=True).size == pytest.approx(2**16 * found(elsewhere=True).size)


def test_what_another_training_showed_explains_no_more_than_a_tenth():
    """Beyond, what moved is not judged, and what vanished is different; losses stay judged to the end."""
    early, late = (found("gradient", "backward", step, elsewhere=True) for step in (8, 63))

    assert (early.judges, late.judges) == (True, False)
    assert early.size < 0.1
    assert (late.size, late.explained) == (0.99, 0.0)
    assert found(step=10**6, elsewhere=True).judges
    assert not found(step=10**6, elsewhere=True, precision="bfloat16").judges


@pytest.mark.parametrize("source", ["recorder", "event files"])
@pytest.mark.parametrize(
    ("family", "judges"),
    [
        ("evaluation/loss", True),
        ("val/epoch_loss", True),
        ("evaluation/accuracy", False),
        ("val/f1", False),
        ("loss/val/accuracy", False),
    ],
)
def test_elsewhere_only_losses_of_evaluations_are_judged(family, judges, source):
    """By the envelope of losses from the first measured evaluation on; a folder's name makes no metric a loss."""
    given = [found(family, "evaluation", step, elsewhere=True, source=source) for step in (0, 10**6)]

    assert [limit.judges for limit in given] == [judges, judges]
    assert all(6e-3 <= limit.size <= 6e-2 if judges else limit == Limit(0.99, explained=0.0) for limit in given)


def test_a_calibration_that_variants_carried_out_of_all_measure_judges_nothing():
    """Three times a third is everything; up to a tenth is explained, and what vanishes is different."""
    assert found(calibration=calibration(loss=(0.33,))) == Limit(pytest.approx(0.99), 0.33, 0)
    assert found(calibration=calibration(loss=(0.34,))) == Limit(0.99, 0.34, 0, explained=0.1)


def test_a_calibrated_threshold_is_the_measured_deviation_times_its_margin():
    """By steps since the last stored state: a fresh segment starts sharp again."""
    measured = calibration(loss=(2.0**-20, 2.0**-17, 2.0**-10))

    assert [found(step=step, calibration=measured) for step in range(6)] == [
        Limit(3 * 2.0**-20, 2.0**-20, 0),
        Limit(3 * 2.0**-17, 2.0**-17, 1),
        Limit(3 * 2.0**-10, 2.0**-10, 2),
        Limit(3 * 2.0**-10, 2.0**-10, 3),  # further than any variant went: as at the last place
        Limit(3 * 2.0**-20, 2.0**-20, 0),
        Limit(3 * 2.0**-17, 2.0**-17, 1),
    ]


def test_a_calibrated_threshold_is_that_of_its_family():
    """What no variant moved has the floor: two units in the last place of the precision."""
    measured = calibration(loss=(1e-3,), optimizer__exp_avg=(1e-4,), gradient=())

    assert found("optimizer/exp_avg", "state", calibration=measured).size == pytest.approx(3e-4)
    assert found("weight", "state", calibration=measured) == Limit(FLOOR, 0.0, 0)
    assert found("gradient", "backward", calibration=measured) == Limit(FLOOR, 0.0, 0)
    assert found("weight", "state", precision="bfloat16", calibration=measured) == Limit(2.0**-7, 0.0, 0)


@pytest.mark.parametrize(
    "family", ["evaluation/accuracy", "evaluation/class_accuracy[3]", "evaluation/average_accuracy"]
)
def test_accuracies_may_move_by_an_image(family):
    """One image of fifty is 2 points, and no variant of a short training may have moved it."""
    assert found(family, "evaluation", calibration=calibration()) == Limit(0.1, 0.0, 0)


def test_the_calibration_holds_in_its_own_environment_too():
    """Put back on states, a training is judged by them wherever it ran."""
    measured = calibration(loss=(1e-5,))

    assert found(calibration=measured) == found(calibration=measured, elsewhere=True)


def test_the_margin_is_the_baselines():
    """A baseline keeps the margin that it was made with."""
    assert found(calibration=calibration(margin=5.0, loss=(1e-5,))).size == pytest.approx(5e-5)


def test_fingerprints_of_float_images_have_more_room():
    """A projection adds up the rounding of every pixel; what no variant moved is still allowed that."""
    places = {"elsewhere": True, "calibration": calibration(steps=(0,))}

    assert found("batch/images order", "data", **places).size == 64 * found(**places).size


@given(families, stages, steps, st.booleans())
def test_event_files_have_a_threshold_of_their_own_in_float64(family, stage, step, elsewhere):
    """They keep float32, whatever the training computed in."""
    assert found(family, stage, step, "float64", elsewhere, source="event files") == Limit(EVENTS_THRESHOLD)


@given(st.sampled_from(["float32", "bfloat16"]), stages, st.booleans())
def test_a_tools_names_decide_no_threshold(precision, stage, elsewhere):
    """An accuracy of event files is a number like any other; what a calibration says of our names is not of theirs."""
    given = calibration((0,), **{"accuracy/loss": (1e-3,)})
    limits = {
        found(name, stage, 5, precision, elsewhere, calibration=measured, source="event files")
        for name in ("accuracy/loss", "loss")
        for measured in (None, given)
    }

    assert len(limits) == 1


@given(families, stages, steps)
def test_steps_of_event_files_do_not_sharpen_the_envelope(family, stage, step):
    """A tool counts in epochs or samples, so low precision elsewhere may part at once as far as after many steps."""
    late = found(family, stage, 10**6, elsewhere=True, source="event files")

    assert found(family, stage, step, elsewhere=True, source="event files") == late
