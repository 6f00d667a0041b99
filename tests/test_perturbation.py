"""Promises of a perturbation: it departs in what it says, for as long as it is in force."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from harness import Recipe, Recorder, train
from harness.recording.perturbation import Perturbation, current, perturbed


TINY = Recipe(width=2, epochs=1, train_images=12, test_images=10, batch_size=6, precision="float32")


def test_a_perturbation_is_in_force_for_its_block():
    """Blocks nest, and an exception ends them as well."""
    one, other = Perturbation(seed_shift=1), Perturbation(threads=2)
    with perturbed(one):
        with pytest.raises(ZeroDivisionError), perturbed(other):
            assert current() is other
            raise ZeroDivisionError
        assert current() is one

    assert current() == Perturbation()


def test_a_thread_follows_its_own_perturbation_before_that_of_another():
    """One that has none follows the last: loops train in threads of their own."""
    own, other = Perturbation(seed_shift=1), Perturbation(seed_shift=2)
    block = perturbed(other)
    with perturbed(own), ThreadPoolExecutor(1) as pool:
        assert pool.submit(current).result() is own
        pool.submit(block.__enter__).result()
        assert (current(), pool.submit(current).result()) == (own, other)
        pool.submit(block.__exit__, None, None, None).result()
        assert pool.submit(current).result() is own


def test_the_default_departs_in_nothing():
    """Bit for bit the training as written."""
    with perturbed(Perturbation()):
        assert train(TINY) == train(TINY)


def test_a_seed_shift_moves_everything_that_is_drawn():
    """The training is that of the other seed: initialisation, order, augmentation, dropout, resume."""
    with perturbed(Perturbation(seed_shift=3)):
        shifted = train(TINY)

    assert shifted.seed == 3
    assert shifted.streams == train(dataclasses.replace(TINY, seed=3)).streams
    assert shifted.streams != train(TINY).streams


def test_a_recorder_follows_the_perturbation_that_it_was_made_under():
    """Its seed is what a loop may draw its own generators from."""
    with perturbed(Perturbation(seed_shift=2)), Recorder(seed=5) as recorder:
        model = torch.nn.Linear(2, 1)
        drawn = model.weight.tolist()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        recorder.batch(torch.ones(3, 2))
        model(torch.ones(3, 2, dtype=torch.float64)).sum().backward()
        optimizer.step()
        recorder.log(loss=1.0)
    torch.manual_seed(7)

    assert recorder.seed == recorder.record.seed == 7
    assert drawn == torch.nn.Linear(2, 1, dtype=torch.float64).weight.tolist()


@pytest.mark.parametrize("other_layout", [False, True])
def test_another_layout_reaches_a_watched_loop(other_layout):
    """Models that are watched under the perturbation, and no others."""
    model = torch.nn.Conv2d(3, 4, 3, dtype=torch.float64)
    with perturbed(Perturbation(other_layout=other_layout)), Recorder() as recorder:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        model(torch.ones(2, 3, 4, 4)).sum().backward()
        optimizer.step()
        recorder.log(loss=1.0)

    assert model.weight.is_contiguous(memory_format=torch.channels_last) == other_layout
