"""Promises of the public silent errors (`python -m tests.study.silent_errors`): each is caught, and named as said."""

from pathlib import Path

import pytest

from harness import compare, errors
from harness.record.streams import STAGES
from tests.study.silent_errors import SILENT_ERRORS, compared, sound, table


README = Path(__file__).parent / "study" / "README.md"
REFUSED = [error for error in SILENT_ERRORS if error.refusal]
RECORDED = [error for error in SILENT_ERRORS if not error.refusal]

# Python 3.12 and newer warn of forks beside threads; a worker that hangs ends with its loader's timeout
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def each(chosen):
    """Run a test with each error; those that need what the system lacks are skipped."""
    lacks = pytest.mark.skip(reason="this system cannot fork")
    return pytest.mark.parametrize(
        "error", [pytest.param(error, id=error.name, marks=() if error.runs_here else lacks) for error in chosen]
    )


def test_the_catalogue_is_complete():
    """All that TrainCheck reproduces and that fit into one process, each with a program of its own and a source."""
    assert {id for error in SILENT_ERRORS for id in error.id.split(", ")} == {
        "AC-2665",
        "lightning-thunder-725",
        "mmpretrain-702",
        "pytorch-115607",
        "pytorch-51800",
        "pytorch-84803",
        "pytorch-96600",
        "pytorch-forum-84911",
        "stackoverflow-60335387",
        "stackoverflow-67180955",
        "transformers-17877",
        "transformers-33844",
        "transformers-34204",
    }
    assert len({error.name for error in SILENT_ERRORS}) == len({error.what for error in SILENT_ERRORS}) == 18
    assert all(error.source for error in SILENT_ERRORS)


def test_every_error_has_its_right_place():
    """The ground truth is written down, apart from what is named today; where the two differ, it is said why."""
    for error in SILENT_ERRORS:
        assert bool(error.first) != bool(error.refusal), error.name
        assert bool(error.named) == bool(error.why), error.name
        assert not error.named or error.named != error.first, error.name
        assert {stage for _, stage, _ in filter(None, (error.first, error.named))} <= {*STAGES}, error.name


@each(SILENT_ERRORS)
def test_a_sound_program_repeats_itself(error):
    """To the last bit, so that what is found in the faulty one is made by the error."""
    comparison = compare(sound(error), error.record(faulty=False))

    assert comparison.verdict == "same"
    assert comparison.largest == 0.0


@each(RECORDED)
def test_a_silent_error_is_caught_and_named(error):
    """The faulty program is different, first in the step, stage and stream that the error stands with."""
    comparison = compared(error)

    assert comparison.verdict == "different"
    assert comparison.first_divergence == (error.named or error.first)


@each(RECORDED)
def test_a_silent_error_is_silent(error):
    """The faulty program trains to its end, as long as the sound one, and every number in it is finite."""
    comparison = compared(error)

    assert comparison.record.num_steps == comparison.baseline.record.num_steps == 4
    assert comparison.record.non_finite() is None


@each(REFUSED)
def test_what_cannot_be_recorded_is_refused_by_name(error):
    """An optimizer that trains nothing of the model is an error of the loop, not a difference."""
    with pytest.raises(errors.RecorderError, match=error.refusal):
        error.record(faulty=True)


@each([error for error in RECORDED if error.named])
def test_what_is_named_wrongly_is_not_all_that_deviates(error):
    """What is first stands further down, if a record can show it at all: of unit vectors it keeps only their norm."""
    deviating = error.first in {deviation.divergence for deviation in compared(error).deviations}

    assert deviating != (error.name == "evaluated_early")


def test_autocast_does_not_show_in_float64():
    """Autocast leaves float64 alone: a wrong scope of it is for a float32 training to find."""
    error = next(error for error in SILENT_ERRORS if error.name == "autocast_scope")
    sharp = [error.record(faulty=faulty, precision="float64") for faulty in (False, True)]

    assert compare(*sharp).largest == 0.0
    assert error.precision == "float32"


@pytest.mark.skipif(not all(error.runs_here for error in SILENT_ERRORS), reason="this system cannot fork")
def test_the_readme_shows_what_is_found():
    """The table that the program prints stands there, word for word."""
    assert table() in README.read_text(encoding="utf-8")
