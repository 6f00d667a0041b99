"""Promises to tests that start their trainings as processes: what is planted reaches them, and they tell of it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DistributedSampler

from harness import Record, Recorder, errors
from harness.comparing.ranks import merge
from harness.elsewhere.handed_down import obey, perturbed_as
from harness.elsewhere.ranks import Ranks
from harness.elsewhere.rerun import Assignment
from harness.record import World
from harness.recording.perturbation import Perturbation
from harness.recording.states import States


SCRIPT = """
from tests.test_handed_down import train

train(2).save("record.json")
train(1)
train(2, breaks=True)
"""


def train(num_steps, *, breaks=False):
    """Train for a few steps, or into an exception."""
    with Recorder() as recorder:
        model = torch.nn.Linear(4, 1)
        recorder.watch(model)
        for _ in range(num_steps):
            recorder.batch(inputs := torch.rand(8, 4))
            model.weight.grad = None
            loss = model(inputs).square().mean()
            loss.backward()
            recorder.log(loss=loss)
            with torch.no_grad():
                model.weight -= 0.1 * model.weight.grad
            recorder.step()
            assert not breaks, "as a training may"
    return recorder.record


def train_share(rank):
    """Train on the share of one of two ranks."""
    with Recorder() as recorder:
        model = torch.nn.Linear(1, 1)
        recorder.watch(model)
        for index in DistributedSampler(range(4), 2, rank, shuffle=False):
            recorder.batch(inputs := torch.full((2, 1), float(index)))
            recorder.log(loss=model(inputs).square().mean())
            recorder.step()
    return replace(recorder.record, world=World(rank, 2, "gloo"))


def train_and_raise(error):
    """Train on a rank, which fails afterwards."""
    train(1)
    raise error


def start(folder, **variables):
    """Run the script in a folder, with variables of its own; return its record and its last line."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, env=variables, check=False, capture_output=True)
    return Record.load(folder / "record.json"), run.stderr.decode().splitlines()[-1]


def test_a_script_is_perturbed_and_tells_of_it(tmp_path, monkeypatch):
    """Its seeds are shifted and a fault is planted; each training tells, also one that comes to no end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assigned = Assignment("test_a.py::test", "", Perturbation(seed_shift=7), "weights-rounded", tmp_path)
    assigned.write()
    plain = train(2)
    with perturbed_as(assigned, tmp_path) as effects:
        record, said = start(tmp_path, **os.environ)
        own = train(2)

    assert (record.seed, said) == (7, "AssertionError: as a training may")
    assert record.streams == own.streams != plain.streams
    assert [effects.outcome(each) for each in (record, own)] == [(True, "")] * 2
    assert effects.outcome(plain) == (False, "no recorder watches this training")
    assert len([*tmp_path.glob("*.told")]) == 3, "those of this process are known here"

    failure = effects.failure(subprocess.SubprocessError("it failed"))
    assert (failure.planted, failure.what) == (True, "the training ended with SubprocessError: it failed")


def test_a_rank_is_perturbed_and_tells_of_it(tmp_path, monkeypatch):
    """As a script; what it ends with is judged there, where it is known what the machine is to blame for."""
    monkeypatch.setattr(Ranks, "_method", "fork")
    assigned = Assignment("test_a.py::test", "", Perturbation(seed_shift=7), "weights-rounded", tmp_path)
    assigned.write()
    with perturbed_as(assigned, tmp_path) as effects:
        (record,) = Ranks()(train, 2, world_size=1)
        for error, planted in {ValueError("not finite"): True, OSError("disk full"): False}.items():
            with pytest.raises(errors.FaultError, match=f"the training ended with {type(error).__name__}: ") as raised:
                Ranks()(train_and_raise, error, world_size=1)
            assert raised.value.planted is planted

    assert (record.seed, effects.outcome(record)) == (7, (True, ""))


def train_from(states, rate=0.1):
    """Train on one of two ranks, in bfloat16, with a buffer of its own; then something else."""
    with Recorder(precision="bfloat16", states=states) as recorder:
        model = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.BatchNorm1d(1))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        recorder.watch(model, optimizer)
        for _ in range(2):
            recorder.batch(inputs := torch.rand(8, 4) + torch.distributed.get_rank())
            model(inputs).square().mean().backward()
            recorder.log(loss=0.0)
            optimizer.step()
    train(1)
    return recorder.record


def train_first_from(states):
    """Train otherwise, and let the first rank alone have states."""
    return train_from(None if torch.distributed.get_rank() else states, 0.3)


def test_ranks_fill_states_and_are_put_back_on_them(tmp_path, monkeypatch):
    """Each on its own; what is recorded without states, there or here, goes its own way."""
    monkeypatch.setattr(Ranks, "_method", "fork")
    assigned = Assignment("test_a.py::test", "", Perturbation(), "", tmp_path)
    assigned.write()
    with perturbed_as(assigned, tmp_path) as effects:
        with effects.hand_down(States()):
            records = Ranks()(train_from, States())
            lacking = Ranks()(train_first_from, States())
        effects.stands_for(merged := merge(lacking), lacking)
        assert effects.states(merged) is None, "the second would be put on those of the first"
        effects.stands_for(merged := merge(records), records)
        states = effects.states(merged)
        with effects.hand_down(states):
            again = merge(Ranks()(train_from, States()))
            parted = merge(Ranks()(train_from, States(), 0.2))
        (alone,) = Ranks()(train_from, States(), world_size=1)

    assert states.steps == (0, 1)
    assert "weight/0.weight" in states._kept[0]
    assert {f"rank{rank}/{name}" for rank in (0, 1) for name in ("weight/0.weight", "buffer/1.running_mean")} < {
        *states._kept[1]
    }
    assert {value for key, stream in again.streams.items() if key.distance for value in stream.values} == {0}
    assert max(parted.streams["distance/weight/0.weight"].values) > 0
    assert not any(key.distance for key in alone.streams)
    assert effects.states(train(1)) is None


def test_what_ranks_tell_counts_for_all_of_them(tmp_path):
    """Also where the fault has one do what the other does; how a rank died says nothing of the fault."""
    assigned = Assignment("test_a.py::test", "", Perturbation(), "shard-repeated", tmp_path)
    assigned.write()
    with perturbed_as(assigned, tmp_path) as effects, obey(str(assigned.file), str(tmp_path), session=0):
        ranks = [*map(train_share, range(2))]

    assert ranks[0].streams == ranks[1].streams
    effects.stands_for(merged := merge(ranks), ranks)
    assert [effects.outcome(each) for each in (*ranks, merged)] == [(True, "")] * 3
    died = errors.RanksError.failed(rank=1, world_size=2, line="it ended with signal 9")
    assert (effects.failure(ValueError()).planted, effects.failure(died).planted) == (True, False)


def test_a_training_that_nobody_perturbs_tells_nothing(tmp_path, monkeypatch):
    """A process that is started without this one's environment, or after all, is an ordinary one."""
    assigned = Assignment("test_a.py::test", "", Perturbation(seed_shift=7), "", tmp_path)
    assigned.write()
    before = {**os.environ}
    with perturbed_as(assigned, tmp_path) as effects:
        assert train(1).seed == 7
    assert os.environ == before
    assert train(1).seed == 0
    assert not [*tmp_path.glob("*.told")]
    assert effects.failure(ValueError()) is None


def test_a_process_that_outlives_the_rerun_trains_as_it_is_written(tmp_path):
    """A server that a test has started keeps its environment; the assignment in it is gone with its folder."""
    with obey(str(tmp_path / "assignment.json"), str(tmp_path), session=0):
        assert train(1).seed == 0
