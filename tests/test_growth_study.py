"""Promises of the study of growth (`python -m tests.study.growth`), in small: what it says of two programs is true."""

import functools

import pytest

from harness.recording.perturbation import perturbed
from tests.study.growth import Rule, judge, measure, moved
from tests.study.growth_programs import PROGRAMS, float_images, maxpool
from tests.study.growth_runs import SETTINGS, Case, draws


RULE = Rule()
CASES = {program.function: Case(program, 0) for program in PROGRAMS if program.name in ("max-pooling", "float images")}


def run(case, setting="plain"):
    """The record of a case in a setting, in this process."""
    with perturbed(SETTINGS[setting].perturbation):
        return case.program.run(case.seed)


@functools.cache
def measured(function):
    """The record of a program as it stands, and its growth."""
    case = CASES[function]
    plain = run(case)
    return plain, measure(case, plain, [run(case, draws("weights")[draw].id) for draw in RULE.draws])


def shares(function, record):
    """How much of its threshold each number of a record takes."""
    plain, grown = measured(function)
    judged = judge([(grown, moved(plain, record).points)])
    return judged.size / RULE.thresholds(judged)


@pytest.mark.parametrize("setting", ["layout", pytest.param("rounded", marks=pytest.mark.long)])
@pytest.mark.parametrize("function", [maxpool, float_images], ids=lambda function: function.__name__)
def test_other_machines_stay_within_the_threshold(function, setting):
    """Neither another memory format nor other rounding of every operation takes more than a whole threshold."""
    found = shares(function, run(CASES[function], setting))

    assert len(found)
    assert found.max() < 1


def test_a_small_fault_is_far_beyond_the_threshold():
    """A learning rate off by a millionth is, of the numbers that follow from it, too."""
    record = maxpool(0, "cpu", rate=0.2 * (1 + 1e-6))
    record.streams.pop("learning_rate/0.weight")

    assert shares(maxpool, record).max() > 1e4
    assert min(point.step for point in moved(measured(maxpool)[0], record).points) == 0


def test_jitter_changes_no_count():
    """What has no size stays as it is, and a logged number does not jump."""
    assert [draw for function in CASES for draw in measured(function)[1].odd if draw] == []
