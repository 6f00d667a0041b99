"""Promises of `--training-on`: tests run elsewhere, and come to what they come to here."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile

import pytest

from tests.machines import Project as Many
from tests.machines import check, cluster


_TESTS = """
import os
import pytest
from harness import Recipe, Recorder, figures
import torch

RECIPE = Recipe(model="cifar_cnn", width=2, epochs=2, train_images=20, test_images=20, batch_size=8, warmup_steps=1)
HERE = os.getpid()

@pytest.fixture(scope="module")
def record(training):
    assert os.environ.get("HARNESS_ERRAND") or os.environ.get("WRITES"), "it was set up here"
    return training(RECIPE)

def loop(rate):
    with Recorder(precision="float64", seed=0) as recorder:
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        recorder.watch(model, optimizer)
        loss = model(torch.ones(1, 2)).square().sum()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
    return recorder.record

def test_recipe(record, training_regression):
    training_regression.check(record)

def test_loop(training_regression, tmp_path):
    assert os.environ.get("HARNESS_ERRAND") or os.environ.get("WRITES")
    training_regression.check(loop(0.1), name="one")
    training_regression.check(loop(RATE), name="two", thresholds={"loss": 1e-9})

def test_dies(training_regression):
    if os.environ.get("HARNESS_ERRAND"):
        os._exit(1)
    training_regression.check(loop(0.1))

def test_fails(training_regression):
    training_regression.check(loop(0.1))
    assert not os.environ.get("HARNESS_ERRAND"), "after its check"

def test_skips(training_regression):
    pytest.skip("not today")

def test_of_another_kind():
    assert not os.environ.get("HARNESS_ERRAND")
"""


@pytest.fixture
def sent(project, monkeypatch):
    """The project with baselines, of which the second one of test_loop is another now."""
    monkeypatch.setenv("WRITES", "1")
    project.write(test_gate=_TESTS.replace("RATE)", "0.1)"))
    project.generate("--training-reason=as wide as it needs")
    project.write(test_gate=_TESTS.replace("RATE)", "0.2)"))
    monkeypatch.delenv("WRITES")
    return project


def test_a_test_runs_elsewhere_and_is_compared_here(sent):
    """Its record is that of the baseline, and what it asserts after its check fails it."""
    result = sent.run("--training-on=local:1", "-k", "fails", "-rf", failed=1, deselected=5)

    result.stdout.fnmatch_lines(["*AssertionError: after its check", "1 compared *", "1 test ran on local:1"])
    result.stdout.fnmatch_lines(["FAILED test_gate.py::test_fails - AssertionError: after its check"])


@pytest.mark.long
def test_tests_run_elsewhere_and_are_compared_here(sent, monkeypatch, tmp_path):
    """Recipes, loops with several records; red, lost, failed after its check, skipped; no temporary file is left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    sent.run("--training-on=local:1", passed=2, failed=3, skipped=1).stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 0 on: schedule, learning rate of all parameters",
            "this test was lost with its worker 3 times",
            "the process of this run: it ended with exit status 1",
            "*AssertionError: after its check",
            "5 tests ran on local:1, 3 workers lost",
        ]
    )
    assert [file.name for file in (sent.path / "build/harness/failed").glob("*.json")] == [
        "test_gate-test_loop,two.json"
    ]
    assert not [*tmp_path.glob("training-regression-*")]


_POOL = """
from pathlib import Path
from harness.workers.facts import facts
from harness.workers.worker import Answer, Job

class Pool:
    def open(self, address):
        self.jobs, self.calls = [], [address]

    def submit(self, name, job, needs):
        self.jobs.append((name, Job.from_bytes(job), needs))

    def done(self):
        name, job, needs = self.jobs.pop(0)
        end = name.rpartition("_")[2].partition("[")[0]
        found = facts(Path(job.root), job.cifar10) | {"torch": "1.0", "fakes.py": "another"}
        return name, Answer(end=end, worker="gpu-3", text=" ".join(needs), facts=found).to_bytes()

    def cancel(self):
        self.calls.append(f"{len(self.jobs)} cancelled")

    def close(self):
        Path("calls.txt").write_text(" ".join(self.calls))
"""
_ENDS = """
import pytest

def test_foreign(training_regression): ...

def test_absent(training_regression): ...

@pytest.mark.device("cuda:H100")
def test_unable(device, training_regression): ...

def test_xfailed(training_regression): ...

def test_passed(training_regression): ...
"""


def test_whoever_writes_an_executor_is_asked_for_what_a_test_needs(project):
    """Its answers are told apart: a foreign worker by name, one without the test, one that cannot begin it."""
    torch = importlib.metadata.version("torch")
    project.write(test_gate=_ENDS, fakes=_POOL)
    options = "--training-on=fakes:Pool:head", "-o", "pythonpath=.", "--deselect=test_gate.py::test_passed"
    project.run(*options, failed=3, xfailed=1, deselected=1).stdout.fnmatch_lines(
        [
            f"the worker gpu-3 has something else than this session: torch 1.0 for {torch}, another fakes.py",
            "the worker gpu-3 finds no such test",
            "the worker gpu-3 cannot begin this test: cuda H100",
        ]
    )
    assert (project.path / "calls.txt").read_text() == "head 0 cancelled"
    assert project.run("--training-on=fakes:Pool:head", "-o", "pythonpath=.", "-x").ret
    assert (project.path / "calls.txt").read_text() == "head 4 cancelled"


@pytest.mark.parametrize("option", ["--mpl-generate-path=baselines", "--pdb"])
def test_what_needs_tests_here_is_refused(project, option):
    """Before any of them runs."""
    project.run("--training-on=local:1", option).stderr.fnmatch_lines(
        ["*has tests run elsewhere to compare them, and *"]
    )


@pytest.mark.long
def test_many_trainings_by_two_processes_and_one_lost_are_what_they_are_in_one(tmp_path):
    """The program of the nightly run, in small, without Ray."""
    assert [row for row in check(Many(tmp_path, 10, 3), "local:2") if not row.holds] == []


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_many_trainings_on_ray_and_one_lost_are_what_they_are_in_one(tmp_path, monkeypatch):
    """The same with Ray."""
    with cluster("ray") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert [row for row in check(Many(tmp_path, 10, 3), "ray") if not row.holds] == []


@pytest.mark.long
def test_workers_of_xdist_in_another_folder_leave_what_differs_here(tmp_path):
    """Results that differ, pictures and candidates are in the folder that pytest was started in."""
    pytest.importorskip("xdist")
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        project = Many(folder, 5, 3)
        project.generate()
        (folder / "build").rename(tmp_path / f"made-{folder.name}")
        (folder / "fault").touch()
        text = (folder / "net.py").read_text()
        (folder / "net.py").write_text(text.replace("seed == 7", "seed == 2"))
    command = [sys.executable, "-m", "pytest", "--mpl", "-q", "-n", "2", "--dist=load"]
    places = [f"--tx=popen//chdir={there}"] * 2
    ran = subprocess.run([*command, *places], cwd=here, env=os.environ | {"CI": ""}, capture_output=True, text=True)

    assert "1 failed, 4 passed" in ran.stdout, ran.stdout + ran.stderr
    assert not (there / "build").exists()
    found = {file.name for file in (here / "build/harness/failed").iterdir()}
    assert found == {"test_many-test_loop=2.json", "test_many-test_loop=2.json.candidate"}
    assert [*(here / "build/harness/pictures").rglob("deviations.png")]
