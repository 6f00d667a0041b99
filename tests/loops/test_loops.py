"""Promises of the recorder for small loops of every kind: it records each, moves none, and sees what moves it."""

import re

import pytest
import torch

from harness import Record, Recorder, compare, errors
from harness.comparing.thresholds import THRESHOLD, dull
from harness.comparing.variants import DRAWS, measured
from harness.record import Baseline
from harness.recording.perturbation import Perturbation, perturbed
from tests.loops import averages, gradients, layers, optimizers, schedules, tasks  # noqa: F401 # each adds its loops
from tests.loops.loop import LOOPS, fit, mlp, sgd


def each(loops):
    """Parametrize a test by loops."""
    marks = {True: pytest.mark.long, False: ()}
    return pytest.mark.parametrize("loop", [pytest.param(one, id=one.name, marks=marks[one.long]) for one in loops])


RECORDED = [loop for loop in LOOPS if not loop.refused]


def drawn(loop, seed):
    """Record a loop under one draw of rounding noise."""
    with perturbed(Perturbation(jitter=seed)):
        return loop.record()[0]


@each(RECORDED)
def test_a_loop_is_recorded_and_not_moved(loop):
    """Recorded whole, in its own steps, with the weights of the loop alone; the same again, red at rate x 1.001."""
    record, trained = loop.record()
    again, red = (compare(record, loop.record(factor)[0]) for factor in (1.0, 1.001))

    assert (record.num_steps, record.non_finite()) == (loop.steps, None)
    assert Record.from_text(record.to_text()) == record
    torch.testing.assert_close(trained, loop.bare(), rtol=1e-9 * loop.noise, atol=1e-12 * loop.noise)
    assert (again.verdict, again.largest) == ("same", 0.0)
    assert (red.verdict, red.first_divergence.stage) == ("different", loop.shows)
    assert "update" in {deviation.stage for deviation in red.deviations if deviation.step == red.first_divergence.step}


@each([loop for loop in LOOPS if loop.refused])
def test_what_is_not_recorded_is_refused_in_a_sentence(loop):
    """The recorder names what it cannot record, and what to do instead."""
    with pytest.raises(errors.HarnessError, match=re.escape(loop.refused)):
        loop.record()


@pytest.mark.long
@each(RECORDED)
def test_rounding_elsewhere_is_not_red(loop):
    """Held against thresholds that three draws of rounding showed, which judge all, a fourth is no other training.

    Calm, too: they stay within the threshold of float64 trainings that were not measured.
    """
    record, _ = loop.record()
    draws = {draw.text: drawn(loop, draw.perturbation.jitter) for draw in DRAWS}
    calibration = measured(record, None, draws)

    assert loop.precision != "float64" or max(compare(record, one).largest for one in draws.values()) < THRESHOLD
    assert not dull(calibration, loop.precision)
    assert compare(Baseline(record, calibration=calibration), drawn(loop, 4)).verdict in ("same", "drift")


def test_what_was_recorded_can_be_resized():
    """Observers resize their buffers, and loops the batches that they fill again: torch lets them still."""
    with Recorder() as recorder:
        batch = [torch.randn(8, 6), torch.randint(3, (8,))]
        model = mlp()
        model.register_buffer("seen", torch.zeros(40))
        fit(recorder, model, sgd(model, 0.1), [batch])

    for tensor in (*batch, *model.state_dict().values()):
        tensor.resize_(400)


def test_there_are_enough_loops_and_each_has_a_name():
    """No two share a name, which would be one loop less to look at."""
    names = [loop.name for loop in LOOPS]

    assert len(names) > 100
    assert len(set(names)) == len(names)
