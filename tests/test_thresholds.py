"""Promises of the thresholds: exact where a training repeats itself, calibrated where it was put back on states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparing.thresholds import EVENTS_THRESHOLD, MARGIN, THRESHOLD, Limit, limit
from harness.record import STAGES, Calibration
from tests.test_record import record_of


FLOOR = 2.0**-22
"""Two units in the last place of a float32."""


def calibration(steps=(0, 4), margin=3.0, **largest):
    """A calibration of two segments: `optimizer__exp_avg` stands for that family."""
    families = {family.replace("__", "/"): sizes for family, sizes in largest.items()}
    return Calibration("0" * 64, tuple(steps), margin, ("2 threads",), families)


def found(family="loss", stage="forward", step=0, precision="float32", elsewhere=False, calibration=None, **changes):
    """The limit of a float32 loss at step 0, unless something else is said."""
    record = record_of({}, precision=precision, **changes)
    return limit(family, stage, step, record=record, elsewhere=elsewhere, calibration=calibration)


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


@given(families, stages, steps, st.booleans(), calibrations)
def test_float64_has_one_threshold(family, stage, step, elsewhere, calibration):
    """Whatever the stream, the step, the machine, and what a baseline says of itself."""
    given = found(family, stage, step, "float64", elsewhere, calibration)

    assert given == Limit(THRESHOLD, measured=None, place=0)


@given(families, steps, precisions, st.booleans(), calibrations)
def test_learning_rates_are_judged_in_float64(family, step, precision, elsewhere, calibration):
    """They are computed in double precision, whatever the training's own."""
    assert found(family, "schedule", step, precision, elsewhere, calibration) == Limit(THRESHOLD)


@given(families, stages.filter(lambda stage: stage != "schedule"), steps, st.sampled_from(["float32", "bfloat16"]))
def test_low_precision_repeats_itself_exactly_where_it_was_made(family, stage, step, precision):
    """Same environment, no states: same bits."""
    assert found(family, stage, step, precision) == Limit(0.0)


@given(families, stages, steps, precisions, st.booleans(), calibrations)
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
    assert found(step=10, elsewhere=True).size == pytest.approx(MARGIN * 4e-4)
    assert 3e-3 < found(step=25, elsewhere=True).size / MARGIN < 1e-2
    assert found(step=10**6, elsewhere=True) == found(step=47, elsewhere=True)
    assert found("gradient", "backward", 10, elsewhere=True).size > 100 * found(step=10, elsewhere=True).size
    assert found(precision="bfloat16", elsewhere=True).size == pytest.approx(2**16 * found(elsewhere=True).size)


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

    assert found("batch/images[1]", "data", **places).size == 64 * found(**places).size


@given(families, stages, steps, st.booleans())
def test_event_files_have_a_threshold_of_their_own_in_float64(family, stage, step, elsewhere):
    """They keep float32, whatever the training computed in."""
    assert found(family, stage, step, "float64", elsewhere, source="event files") == Limit(EVENTS_THRESHOLD)


@given(families, stages, steps)
def test_steps_of_event_files_do_not_sharpen_the_envelope(family, stage, step):
    """A tool counts in epochs or samples, so low precision elsewhere may part at once as far as after many steps."""
    late = found(family, stage, 10**6, elsewhere=True, source="event files")

    assert found(family, stage, step, elsewhere=True, source="event files") == late
