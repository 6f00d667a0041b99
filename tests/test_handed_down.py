"""Promises to tests that start their trainings as processes: what is planted reaches them, and they tell of it."""

import os
import subprocess
import sys

import torch

from harness import Record, Recorder
from harness.elsewhere.handed_down import Told, obey, perturbed_as
from harness.elsewhere.rerun import Assignment
from harness.recording.perturbation import Perturbation


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
    with perturbed_as(assigned, tmp_path):
        record, said = start(tmp_path, **os.environ)
        own = train(2)

    told = Told(assigned)
    assert (record.seed, said) == (7, "AssertionError: as a training may")
    assert record.streams == own.streams != plain.streams
    assert told.of(record) == ((True, ""), None)
    assert told.of(plain) is None
    assert len([*tmp_path.glob("*.told")]) == 3, "those of this process are known here"

    failure = told.failure(subprocess.SubprocessError("it failed"))
    assert (failure.planted, failure.what) == (True, "the training ended with SubprocessError: it failed")


def test_a_training_that_nobody_perturbs_tells_nothing(tmp_path, monkeypatch):
    """A process that is started without this one's environment, or after all, is an ordinary one."""
    assigned = Assignment("test_a.py::test", "", Perturbation(seed_shift=7), "", tmp_path)
    assigned.write()
    before = {**os.environ}
    with perturbed_as(assigned, tmp_path):
        assert train(1).seed == 7
    assert os.environ == before
    assert train(1).seed == 0
    assert not [*tmp_path.glob("*.told")]
    assert Told(assigned).failure(ValueError()) is None


def test_a_process_that_outlives_the_rerun_trains_as_it_is_written(tmp_path):
    """A server that a test has started keeps its environment; the assignment in it is gone with its folder."""
    obey(str(tmp_path / "assignment.json"), str(tmp_path), session=0)
    assert train(1).seed == 0
