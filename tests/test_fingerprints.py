"""Promises of fingerprints: those of halves add up to that of the whole, and nothing that goes in is unseen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Recorder
from harness.recording.fingerprints import fingerprints, read


SAMPLES = 5
BATCHES = {
    "pixels": torch.arange(SAMPLES * 3 * 5 * 7).reshape(SAMPLES, 3, 5, 7).to(torch.uint8),  # 105: no multiple of eight
    "labels": torch.tensor([3, 1, 4, 2, 5]),
    "tokens": torch.arange(SAMPLES * 6).reshape(SAMPLES, 6) ** 12,
    "masks": torch.tensor([[True, False], [False, True], [True, True], [False, False], [True, False]]),
}
FLOATS = torch.arange(SAMPLES * 8, dtype=torch.float64).reshape(SAMPLES, 8).sin()
batches = st.sampled_from(sorted(BATCHES))


def fingerprint(batch):
    """What tells one batch from any other."""
    return fingerprints([read(batch)])[0]


def added(*parts):
    """Add fingerprints, as whoever has those of several ranks does."""
    return f"{sum(int(fingerprint(part)[''], 16) for part in parts) % 2**64:016x}"


@settings(max_examples=30)
@given(batches, st.integers(0, SAMPLES))
def test_integers_of_any_two_parts_add_up_to_those_of_the_whole(name, cut):
    """Exactly, whatever the split, an empty part too."""
    batch = BATCHES[name]

    assert added(batch[:cut], batch[cut:]) == fingerprint(batch)[""]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*BATCHES.values(), FLOATS, torch.tensor(7), [FLOATS, [1, 2]], ["cat"], ()])))
def test_batches_that_are_worked_out_at_once_are_as_each_alone(given):
    """Whatever they hold, and however many."""
    assert fingerprints([read(batch) for batch in given]) == [fingerprint(batch) for batch in given]


@pytest.mark.parametrize("large", [False, True])
def test_what_becomes_of_a_batch_later_does_not_count(large, monkeypatch):
    """It is read when it is told of, whenever its fingerprint is worked out; of more steps than are at once, too."""
    monkeypatch.setattr("harness.recording.batches._MOST_BYTES", 0 if large else 10**6)
    with Recorder() as recorder:
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        labels = torch.zeros(2, dtype=torch.int64)
        for step in range(40):
            labels.fill_(step)
            recorder.batch(labels)
            labels.zero_()
            recorder.log(loss=model(torch.ones(2, 3)).sum())
            optimizer.step()

    stream = recorder.record.streams["batch/images"]
    assert (stream.steps, stream.phases) == (tuple(range(40)), ())
    assert stream.values == tuple(fingerprint([step, step])[""] for step in range(40))


@settings(max_examples=30)
@given(st.permutations(range(SAMPLES)), st.integers(1, SAMPLES - 1))
def test_floats_of_any_two_parts_add_up_to_those_of_the_whole(order, cut):
    """But for rounding, whichever samples each has got."""
    batch = FLOATS[order]

    assert fingerprint(batch[:cut])[""] + fingerprint(batch[cut:])[""] == pytest.approx(fingerprint(FLOATS)[""])


@settings(max_examples=60)
@given(batches, st.data())
def test_any_number_counts(name, data):
    """One pixel, label, token or entry of a mask, whatever becomes of it."""
    batch = BATCHES[name]
    flat = batch.clone().flatten()
    place = data.draw(st.integers(0, len(flat) - 1))
    kinds = {torch.uint8: st.integers(0, 255), torch.bool: st.booleans(), torch.int64: st.integers(-(2**63), 2**63 - 1)}
    value = data.draw(kinds[batch.dtype].filter(lambda value: value != flat[place]))
    flat[place] = value

    now = fingerprint(flat.reshape(batch.shape))
    assert all(now[end] != value for end, value in fingerprint(batch).items())


@settings(max_examples=30)
@given(batches, st.permutations(range(SAMPLES)))
def test_the_order_of_samples_moves_the_order_alone(name, order):
    """Labels rolled by one within the batch stand beside images that are not theirs: the order of labels says so."""
    before, now = fingerprint(BATCHES[name]), fingerprint(BATCHES[name][order])

    assert now[""] == before[""]
    assert (now["order"] == before["order"]) == bool((BATCHES[name][order] == BATCHES[name]).all())


@pytest.mark.parametrize("batch", [*BATCHES.values(), FLOATS], ids=[*BATCHES, "floats"])
def test_what_two_samples_exchange_is_seen(batch):
    """A pixel that goes to the next sample leaves sums of pixels as they were."""
    other = batch.clone().reshape(SAMPLES, -1)
    other[[0, 1], 0] = other[[1, 0], 0]

    assert fingerprint(other.reshape(batch.shape))["order"] != fingerprint(batch)["order"]


def test_labels_of_the_same_sum_are_told_apart():
    """Hashes are added, not labels."""
    assert fingerprint([1, 3]) != fingerprint([2, 2])
    assert fingerprint([1, 3])[""] != fingerprint([2, 2])[""]


@pytest.mark.parametrize("byte", range(8))
def test_pixels_of_one_place_in_eight_count_as_any(byte):
    """Eight pixels are hashed as one number: exchanged at the same place of two such, its high bits too, they show."""
    rows = torch.zeros(64, 64, dtype=torch.uint8)
    for row in range(64):
        rows[row, byte + 8 * (row % 8)], rows[row, byte] = row + 1, row + 101

    assert len({fingerprint(row)[""] for row in rows}) == 64


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_the_shape_of_a_sample_counts(dtype):
    """The same numbers in other rows are other samples."""
    batch = torch.arange(24).to(dtype)

    assert len({fingerprint(batch.reshape(2, *shape))[""] for shape in [(12,), (3, 4), (4, 3), (12, 1)]}) == 4


def test_float_samples_that_change_places_move_the_order_alone():
    """Pixels that change places within a sample move both."""
    before, swapped, flipped = (fingerprint(batch) for batch in (FLOATS, FLOATS.flip(0), FLOATS.flip(1)))

    assert swapped[""] == pytest.approx(before[""], rel=1e-15)
    assert swapped["order"] != pytest.approx(before["order"], rel=1e-3)
    assert flipped[""] != pytest.approx(before[""], rel=1e-3)
    assert flipped["order"] != pytest.approx(before["order"], rel=1e-3)


def test_hashes_are_the_same_on_every_machine():
    """They are part of committed baselines."""
    assert fingerprint(BATCHES["pixels"]) == {"": "020e7d41f5442f10", "order": "3b44aff80eba6f4e"}
    assert (
        fingerprint(np.array([3, 1], dtype=">i4"))
        == fingerprint([3, 1])
        == {"": "6a91df504c42207b", "order": "6ad5a2ff42aa6f25"}
    )
    assert fingerprint(["cat", "dog"]) == {"": "8c42422f7acf1344", "order": "a6ab9769d0f5a18a"}


def test_floats_beside_integers_have_names_of_their_own():
    """Exact numbers stay exact."""
    found = fingerprint({"pixels": BATCHES["pixels"], "weights": FLOATS})

    assert found == fingerprint(BATCHES["pixels"]) | {
        f"floats {end}".strip(): v for end, v in fingerprint(FLOATS).items()
    }
