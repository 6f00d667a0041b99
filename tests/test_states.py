"""Promises of stored states: kept as long as they fit, put back exactly, read from any bytes without harm."""

import json
import math
import pickle
import struct

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from harness import Recorder, errors
from harness.recording import states
from harness.recording.states import States


DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def state(**tensors):
    """A state: `weight__a` stands for the stream `weight/a`."""
    return {name.replace("__", "/"): torch.as_tensor(values) for name, values in tensors.items()}


def floats(*numbers):
    """A float32 tensor."""
    return torch.tensor(numbers, dtype=torch.float32)


@st.composite
def kept_states(draw):
    """Steps with tensors of any dtype and shape, zero-dimensional and empty ones too."""
    names = st.sampled_from(["weight/a", "weight/b.c", "buffer/n.running_mean", "optimizer/a/exp_avg", "weight/ä/ü"])
    shapes = st.lists(st.integers(0, 3), max_size=3)

    def tensor(seed, shape, dtype):
        return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 100 - 50).to(dtype)

    tensors = st.builds(tensor, st.integers(0, 99), shapes, st.sampled_from(DTYPES))
    steps = draw(st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True))
    return {step: draw(st.dictionaries(names, tensors, min_size=1, max_size=4)) for step in steps}


@given(kept_states())
def test_bytes_lose_nothing(kept):
    """Every tensor comes back bit for bit, with its dtype, shape and step."""
    read = States.from_bytes(States(kept).to_bytes())

    assert read.steps == tuple(sorted(kept))
    for step, tensors in kept.items():
        for name, tensor in tensors.items():
            found = {name: torch.full_like(tensor, 77)}
            read.put_back(step, found)
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


@given(kept_states())
def test_equal_states_have_equal_bytes(kept):
    """Whatever the order in which steps and tensors came: regenerating twice gives the same file and the same hash."""
    turned = {step: dict(reversed(kept[step].items())) for step in reversed(kept)}
    again = States.from_bytes(States(kept).to_bytes())

    assert States(turned).to_bytes() == States(kept).to_bytes() == again.to_bytes()
    assert States(turned).sha256 == States(kept).sha256


def test_another_value_has_another_hash():
    """A flipped bit is another state."""
    one, other = (States({0: state(weight__a=floats(1.0, value))}) for value in (2.0, math.nextafter(2, 3)))
    close = States({0: state(weight__a=torch.nextafter(floats(1.0, 2.0), floats(9.0, 9.0)))})

    assert one.sha256 == other.sha256  # nothing that a float32 can hold
    assert one.sha256 != close.sha256


def tensor_file(dtype="F32", shape=(1,), offsets=(0, 4), data=b"\0" * 4, key="0/weight/a"):
    """A safetensors file by hand: length, header, data."""
    header = json.dumps({key: {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**62) + b"{}",
        b"<<<<<<< HEAD\nversion https://git-lfs.github.com/spec/v1\n=======\n",
        tensor_file(key="weight"),
        tensor_file(key="/weight/a"),
        tensor_file(key="0.5/weight/a"),
        tensor_file(key="9" * 5000 + "/weight/a"),
        tensor_file(dtype="F4", shape=(8,)),
        tensor_file(dtype="nonsense"),
        tensor_file(shape=(2**40,)),
        tensor_file(offsets=(0, 2**40)),
        tensor_file(offsets=(4, 0)),
        tensor_file(data=b"\0" * 3),
        tensor_file()[:-1],
        tensor_file() + b"\0",
    ],
)
def test_bytes_that_are_no_states_are_one_error(data):
    """Truncated, foreign, or made by hand to ask for terabytes: refused, with the reason."""
    with pytest.raises(errors.StatesError, match=r"these are no stored states of a training: .+"):
        States.from_bytes(data)


GOOD = States({0: state(weight__a=floats(1.0, 2.0)), 3: state(weight__a=floats(3.0, 4.0))}).to_bytes()


@given(st.data())
def test_damaged_bytes_never_end_in_another_error(data):
    """Cut them anywhere, change any byte: a StatesError or other states, never a traceback."""
    place = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1))
    damaged = data.draw(st.sampled_from([GOOD[:place], GOOD[:place] + byte + GOOD[place + 1 :], GOOD[place:]]))
    try:
        read = States.from_bytes(damaged)
    except errors.StatesError:
        return
    assert (read.sha256 == States.from_bytes(GOOD).sha256) == (damaged == GOOD)


def filled(sizes, limit, monkeypatch):
    """States that were given a state of so many bytes a step, with that many bytes to fill."""
    monkeypatch.setattr(states, "STATES_BYTES", limit)
    found = States()
    for step, size in enumerate(sizes):
        found.keep(step, state(weight__a=torch.full((size,), step, dtype=torch.uint8)))
    return found


@pytest.mark.parametrize(
    ("steps", "limit", "kept"),
    [
        (8, 80, range(8)),
        (8, 79, range(0, 8, 2)),
        (9, 40, range(0, 9, 4)),
        (33, 30, range(0, 33, 16)),
        (33, 19, [0]),
        (1, 10, [0]),
        (33, 9, []),
    ],
)
def test_states_are_thinned_evenly_to_what_fits(steps, limit, kept, monkeypatch):
    """Every step, then every second, every fourth and so on; the first step stays, and none is kept that is too large.

    Segments of equal length grow rounding equally, and step 0 tells another initialisation.
    """
    found = filled([10] * steps, limit, monkeypatch)

    assert found.steps == tuple(kept)
    assert found.collects == bool(found.steps)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 200))
def test_states_never_take_more_than_they_may(sizes, limit):
    """Whatever their sizes; what is kept is kept whole, from step 0 on and at equal distances."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = filled(sizes, limit, monkeypatch)

    assert sum(sizes[step] for step in found.steps) <= limit
    assert found.steps[:1] in ((), (0,))
    assert len({after - before for before, after in zip(found.steps, found.steps[1:], strict=False)}) <= 1


def test_a_state_that_grows_too_large_ends_the_keeping(monkeypatch):
    """Without room for one state of the training there is none to put back, and none is collected later."""
    found = filled([50, 10, 10], 40, monkeypatch)

    assert (found.steps, found.collects) == ((), False)


def test_states_of_ranks_are_one_and_each_gets_its_own_back():
    """What all hold alike is kept once; a rank's own buffers, slices, and what it alone has, are kept of each."""
    ranks = [
        States({step: state(weight__a=floats(1.0, 2.0), buffer__b=floats(float(rank)), **own) for step in steps})
        for rank, (steps, own) in enumerate([((0, 1, 2), {"optimizer__a__m": 5.0}), ((0, 2), {})])
    ]
    merged = States.of_ranks(ranks)
    again = States.from_bytes(merged.to_bytes())

    assert merged.steps == (0, 2), "those that all can be put back on"
    assert len(merged._kept[0]) == 4
    for rank, kept in enumerate(ranks):
        assert again.of_rank(rank).sha256 == States({step: kept._kept[step] for step in (0, 2)}).sha256
    assert not again.of_rank(0).collects
    assert States().of_rank(0).collects


def test_states_of_ranks_take_no_more_than_those_of_one(monkeypatch):
    """Where each holds its own, half of them may have to go."""
    ranks = [filled([10] * 4, 40, monkeypatch) for _ in range(2)]
    ranks[1]._kept = {step: state(weight__a=kept["weight/a"] + 1) for step, kept in ranks[1]._kept.items()}

    assert States.of_ranks(ranks).steps == (0, 2)


def test_states_reach_another_process():
    """As an argument: empty to be filled, or filled."""
    kept = States({0: state(weight__a=floats(1.0, 2.0))})

    assert pickle.loads(pickle.dumps(kept)).sha256 == kept.sha256
    assert pickle.loads(pickle.dumps(States())).collects


def test_what_is_kept_is_a_copy():
    """Training goes on in place; the state stays. Filled states take no more."""
    weight = floats(1.0, 2.0)
    found = States()
    found.keep(0, {"weight/a": weight})
    weight.zero_()
    States(found._kept).keep(1, {"weight/a": weight})

    assert found.put_back(0, {"weight/a": weight})["weight/a"] == 1.0
    assert weight.tolist() == [1.0, 2.0]


def test_putting_back_gives_values_and_distances():
    """A distance is the norm of the difference over the norm of the kept value."""
    found = States({4: state(weight__a=floats(3.0, 4.0), weight__b=floats(0.0, 2.0))})
    own = state(weight__a=floats(3.0, 4.5), weight__b=floats(0.0, 2.0))

    assert found.put_back(4, own) == {"weight/a": 0.1, "weight/b": 0.0}
    assert own["weight/a"].tolist() == [3.0, 4.0]


def test_a_step_without_a_state_leaves_the_training_alone():
    """Between two states it runs free."""
    own = state(weight__a=floats(1.0))

    assert States({4: state(weight__a=floats(2.0))}).put_back(3, own) == {}
    assert own["weight/a"].tolist() == [1.0]


@pytest.mark.parametrize("own", [{}, state(weight__a=floats(1.0, 1.0)), state(weight__a=floats(math.nan))])
def test_what_cannot_be_put_back_is_far_away(own):
    """A tensor that is missing, of another shape, or not a number is never close to the kept one."""
    before = {name: tensor.clone() for name, tensor in own.items()}
    distance = States({0: state(weight__a=floats(1.0))}).put_back(0, own)["weight/a"]

    assert distance == 1.0 or math.isnan(distance)
    assert all(own[name].shape == tensor.shape for name, tensor in before.items())


@pytest.mark.parametrize("value", [1e-30, -5.0, math.nan, math.inf])
def test_what_was_zero_throughout_and_is_not_any_more_is_far_away(value):
    """Zero-initialised weights and fresh momentum have no size to compare with."""
    found = States({0: state(optimizer__a__exp_avg=floats(0.0, 0.0))})

    assert found.put_back(0, state(optimizer__a__exp_avg=floats(0.0, value))) == {"optimizer/a/exp_avg": 1.0}
    assert found.put_back(0, state(optimizer__a__exp_avg=floats(0.0, 0.0))) == {"optimizer/a/exp_avg": 0.0}


def test_a_fresh_bias_is_measured_by_the_largest_of_its_kind():
    """Rounding noise in what is zero in truth is no distance; of another kind it would be one."""
    kept = state(weight__bias=floats(1e-9), weight__w=floats(1e3), optimizer__w__exp_avg=floats(1e-9))
    own = state(weight__bias=floats(2e-9), weight__w=floats(1e3), optimizer__w__exp_avg=floats(2e-9))
    distances = States({0: kept}).put_back(0, own)

    assert distances["weight/bias"] == pytest.approx(1e-9)
    assert distances["optimizer/w/exp_avg"] == pytest.approx(1.0)


def test_renamed_tensors_are_put_back():
    """Matched by shape and order, as in a comparison; the distance carries the present name."""
    own = state(weight__stem=floats(0.0, 0.0), weight__fc=floats(9.0))
    found = States({0: state(weight__conv=floats(3.0, 4.0), weight__fc=floats(9.0))})

    assert found.put_back(0, own) == {"weight/stem": 1.0, "weight/fc": 0.0}
    assert own["weight/stem"].tolist() == [3.0, 4.0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_numbers_are_kept_whole(dtype):
    """The imaginary part counts, comes back, and is stored in a format that the file has."""
    weight = torch.tensor([1 + 1j, 2 - 2j], dtype=dtype)
    found = States()
    found.keep(0, {"weight/a": weight})
    own = {"weight/a": weight.conj().resolve_conj().clone()}
    read = States.from_bytes(found.to_bytes())

    assert read.put_back(0, own)["weight/a"] == pytest.approx(math.sqrt(2))
    assert torch.equal(own["weight/a"], weight)


def test_sparse_tensors_are_left_out():
    """The format has none; a graph's adjacency matrix does not change."""
    found = States()
    found.keep(0, {"weight/a": floats(1.0), "buffer/adjacency": torch.eye(3).to_sparse()})
    own = {"weight/a": floats(2.0), "buffer/adjacency": torch.eye(3).to_sparse()}

    assert set(States.from_bytes(found.to_bytes()).put_back(0, own)) == {"weight/a"}


def test_putting_back_passes_autograd_by():
    """A graph that holds a weight is neither an error nor told of a change."""
    weight = torch.nn.Parameter(floats(1.0, 2.0))
    loss = weight.square().sum()
    States({0: state(weight__a=floats(5.0, 6.0))}).put_back(0, {"weight/a": weight})
    loss.backward()

    assert weight.tolist() == [5.0, 6.0]
    assert weight.requires_grad


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=9), st.integers(1, 2**31))
@example([0.0, -0.0], 1)
@example([1.401298464324817e-45], 3)
def test_jitter_moves_every_number_by_one_unit_and_zeros_not_at_all(numbers, seed):
    """To one of its two neighbours; an exact zero is exact everywhere, and below it Adam finds NaN."""
    kept = torch.tensor(numbers, dtype=torch.float32)
    own = {"weight/a": torch.ones_like(kept)}
    States({0: {"weight/a": kept}}).put_back(0, own, seed=seed)
    above, below = (torch.nextafter(kept, torch.full_like(kept, end)) for end in (math.inf, -math.inf))
    moved = own["weight/a"]

    assert bool(((moved == above) | (moved == below) | (kept == 0)).all())
    assert bool((moved[kept == 0] == 0).all())
    assert bool((moved[kept > 0] >= 0).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_jitter_goes_both_ways_and_follows_its_seed(dtype):
    """Half of the numbers up, half down; the same again for the same seed, others for another seed or step."""
    kept = {step: {"weight/a": torch.ones(1000, dtype=dtype)} for step in (0, 1)}

    def moved(jitter, step=0):
        own = {"weight/a": torch.zeros(1000, dtype=dtype)}
        States(kept).put_back(step, own, seed=jitter)
        return own["weight/a"]

    assert 400 < int((moved(1) > 1).sum()) < 600
    assert torch.equal(moved(1), moved(1))
    assert not torch.equal(moved(1), moved(2))
    assert not torch.equal(moved(1), moved(1, step=1))


def test_jitter_leaves_alone_what_has_no_neighbours():
    """Counts and masks are exact; torch knows no neighbours in eight bits."""
    kept = {"buffer/a": torch.arange(4), "buffer/b": torch.ones(3, dtype=torch.float8_e4m3fn)}
    own = {name: torch.zeros_like(tensor) for name, tensor in kept.items()}
    States({0: kept}).put_back(0, own, seed=1)

    assert all(torch.equal(own[name].double(), tensor.double()) for name, tensor in kept.items())


def test_a_mask_is_at_no_distance_from_itself_and_keeps_its_infinities():
    """Neither putting back nor jitter makes a number of infinity, nor does it hide what stands beside it."""
    mask, other = torch.tensor([0.0, -math.inf, math.nan]), torch.tensor([1.0, 2.0])
    states = States()
    states.keep(0, {"buffer/mask": mask, "buffer/other": other})
    moved = other + 1e-3

    distances = states.put_back(0, {"buffer/mask": mask, "buffer/other": moved}, seed=1)
    assert distances["buffer/mask"] == 0
    assert distances["buffer/other"] > 1e-4
    assert mask.tolist()[:2] == [0.0, -math.inf]
    assert mask.isnan()[2]


def test_distances_are_measured_before_jitter():
    """How far a training was says nothing of the noise that it is then given."""
    found = States({0: state(weight__a=floats(3.0, 4.0))})

    assert found.put_back(0, state(weight__a=floats(3.0, 4.0)), seed=1) == {"weight/a": 0.0}


def a_loop(kept, *, steps=4, optimizer=torch.optim.SGD, **settings):
    """A watched float32 loop; dead units, so that Adam's squares hold exact zeros."""
    with Recorder(precision="float32", states=kept) as recorder:
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        torch.nn.init.constant_(model[0].bias, -9.0)
        trained = optimizer(model.parameters(), **settings)
        recorder.watch(model, trained)
        for _ in range(steps):
            inputs = torch.rand(8, 3)
            recorder.batch(inputs)
            trained.zero_grad()
            loss = (model(inputs).squeeze(1) - inputs.sum(1)).square().mean()
            loss.backward()
            trained.step()
            recorder.log(loss=loss)
    return recorder.record


def test_a_recorder_fills_states_and_goes_on_as_without():
    """One state a step, with weights and optimizer state; the record is the same, and the states are closed."""
    kept = States()
    record = a_loop(kept, lr=0.1, momentum=0.9)

    assert record == a_loop(None, lr=0.1, momentum=0.9)
    assert kept.steps == (0, 1, 2, 3)
    assert not kept.collects
    assert set(kept.put_back(1, {})) >= {"weight/0.weight", "weight/2.bias", "optimizer/0.weight/momentum_buffer"}


def test_a_training_that_is_put_back_on_its_own_states_is_at_no_distance():
    """Distances stand at the step before the state, those of the first in the stage "init"; nothing else moves."""
    kept = States()
    record = a_loop(kept, lr=0.1, momentum=0.9)
    again = a_loop(kept, lr=0.1, momentum=0.9)
    distances = {name: stream for name, stream in again.streams.items() if name.startswith("distance/")}

    assert {name: stream for name, stream in again.streams.items() if name not in distances} == record.streams
    assert distances["distance/init/0.weight"].steps == (0,)
    assert distances["distance/init/0.weight"].stage == "init"
    assert distances["distance/weight/0.weight"].steps == (0, 1, 2)
    assert distances["distance/optimizer/0.weight/momentum_buffer"].stage == "state"
    assert {value for stream in distances.values() for value in stream.values} == {0.0}


def test_a_training_that_is_put_back_does_not_carry_a_fault_on():
    """Each step starts from the state; what it leaves behind is its distance, as large at each step."""
    kept = States()
    a_loop(kept, lr=0.1)
    distances = a_loop(kept, lr=0.2).streams["distance/weight/2.bias"].values
    updates = [abs(value) for value in a_loop(None, lr=0.1).streams["update/2.bias"].values]
    weights = [float(kept._kept[step]["weight/2.bias"].norm()) for step in (1, 2, 3)]

    assert distances == pytest.approx([update / weight for update, weight in zip(updates, weights, strict=False)])


def test_adam_survives_jitter():
    """A dead unit's squares are zero; moved below zero their root would be NaN, and the variant would be lost."""
    from harness.recording.perturbation import Perturbation, perturbed

    kept = States()
    a_loop(kept, optimizer=torch.optim.Adam, lr=0.1)
    with perturbed(Perturbation(jitter=1)):
        record = a_loop(kept, optimizer=torch.optim.Adam, lr=0.1)

    assert record.non_finite() is None
    assert max(record.streams["distance/weight/2.weight"].values) > 0


def classifier(kept, **shifts):
    """A watched float32 classifier, some of whose initial tensors are shifted by a number: `bias` its last biases."""
    with Recorder(precision="float32", states=kept) as recorder:
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 5))
        with torch.no_grad():
            for name, shift in shifts.items():
                getattr(model[2], name).add_(shift)
        trained = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, trained)
        for _ in range(5):
            inputs, labels = torch.rand(8, 3), torch.arange(8) % 5
            recorder.batch(inputs, labels)
            trained.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            trained.step()
            recorder.log(loss=loss)
    return recorder.record


def test_a_tensor_that_starts_elsewhere_stays_there_until_the_second_state():
    """All biases in front of softmax may be larger by one: the first losses tell that, put back they could not."""
    kept = States()
    baseline = classifier(kept)
    record = classifier(States({step: kept._kept[step] for step in (0, 2, 4)}), bias=1.0)

    assert record.streams["distance/init/2.bias"].steps == (0, 1)
    assert record.streams["distance/init/2.bias"].stage == "init"
    assert record.streams["distance/weight/2.bias"].steps == (3,)
    assert record.streams["distance/weight/2.bias"].values[0] < 1e-6
    assert record.streams["distance/init/2.weight"].steps == (0,)
    assert record.streams["loss"].values[:2] == pytest.approx(baseline.streams["loss"].values[:2], rel=1e-6)


def test_a_shift_of_initial_values_that_matters_shows_in_the_first_loss():
    """It is not put back before that."""
    kept = States()
    baseline, record = classifier(kept), classifier(kept, weight=5 * torch.arange(5.0)[:, None])

    assert record.streams["loss"].values[0] != pytest.approx(baseline.streams["loss"].values[0], rel=1e-2)
    assert record.streams["loss"].values[1:] == pytest.approx(baseline.streams["loss"].values[1:], rel=1e-6)
