"""Promises behind a quick verdict: what is not needed is not imported, compared or kept. No time is measured here."""

import gc
import json
import sys
import weakref

import pytest

from harness import Recipe
from harness.comparing import deviations
from harness.elsewhere.trainings import Training, Trainings
from harness.plugin import fixtures as imports
from tests.projects import QUICK
from tests.test_report import a_record


OWN = {"codes": {"f00d"}, "test": "test_a.py::test_a", "run": "a"}
"""What a training is told of the test that asked."""

NOT_NEEDED = {"seaborn", "pandas", "torchvision", "harness.report.html.page"}

WITNESS = """
import gc, json, sys
from pathlib import Path

def pytest_unconfigure(config):
    modules = sorted(sys.modules)
    Path("seen.json").write_text(json.dumps([modules, gc.get_freeze_count(), gc.isenabled()]))
"""


@pytest.mark.long  # below, and in tests/test_layering.py, its parts
def test_a_green_gate_imports_what_it_needs(project):
    """Not what labelled figures, CIFAR-10 and the page need; and torch is no business of garbage collection."""
    project.generate()
    (project.path / "conftest.py").write_text(WITNESS)
    project.pytester.run(sys.executable, "-m", "pytest", *QUICK, "--mpl").assert_outcomes(passed=2)
    modules, frozen, enabled = json.loads((project.path / "seen.json").read_text())

    assert not set(modules) & NOT_NEEDED
    assert {"torch", "torch._dynamo", "matplotlib"} <= set(modules)
    assert frozen > 100_000
    assert enabled


def test_collecting_imports_nothing_that_trains(project):
    """Importing torch takes seconds, which a session that only lists its tests has no use for."""
    (project.path / "conftest.py").write_text(WITNESS)
    project.pytester.run(sys.executable, "-m", "pytest", *QUICK, "--mpl", "--collect-only").assert_outcomes()
    modules, _, _ = json.loads((project.path / "seen.json").read_text())

    assert "harness.plugin.session" in modules
    assert not {"torch", "matplotlib.pyplot", *NOT_NEEDED} & set(modules)


@pytest.mark.usefixtures("real_pictures")
@pytest.mark.parametrize("fault", ["", ", learning_rate=0.06"])
def test_a_check_compares_once(project, monkeypatch, fault):
    """Message, report, pictures and TensorBoard of a red check are views of one comparison."""
    compared = []

    def counted(baseline):
        compared.append(baseline)
        return original(baseline)

    original = deviations._scales  # what every comparison of streams begins with, whoever asks for it
    monkeypatch.setattr(deviations, "_scales", counted)
    project.generate()
    project.edit("warmup_steps=1", f"warmup_steps=1{fault}")
    project.run("-k", "test_training", failed=bool(fault), passed=not fault, deselected=1)

    assert len(compared) == 1 + bool(fault)  # what names causes is compared beside it, once it is red


MANY = """
import gc
import pytest
from harness import Recipe, Record

SMALL = dict(width=2, epochs=1, train_images=9, test_images=8, batch_size=8, warmup_steps=1)

@pytest.mark.parametrize("seed", range(7))
def test_training(training, training_regression, seed):
    training_regression.check(training(Recipe(seed=seed, **SMALL)))

def test_few_are_in_memory():
    records = [thing for thing in gc.get_objects() if isinstance(thing, Record)]
    records = [record for record in records if record.recipe.get("train_images") == 9]  # not other tests'
    assert len(records) == 4, [record.seed for record in records]

def test_the_first_again(training):
    record = training(Recipe(seed=0, **SMALL))
    assert record.seed == 0
    assert training(Recipe(seed=0, **SMALL)) is record
"""


def test_records_of_a_long_session_are_put_aside(project):
    """Seven trainings, four records in memory; one that is asked for again is read, not trained."""
    project.write(test_gate=MANY)
    project.run("--mpl-generate-path=baselines", passed=9).stdout.fnmatch_lines(["7 trainings in *"])


def test_a_record_that_is_put_aside_is_the_same(tmp_path):
    """It comes back with every number, and the training knows it as its own; while a test holds it, it stays."""
    record = a_record()
    text, alive = record.to_text(), weakref.ref(record)
    training = Training(Recipe(), "cpu", record, None, **OWN)
    training.put_aside(tmp_path / "aside.json")
    assert training.record is record

    training.put_aside(tmp_path / "aside.json")
    del record
    gc.collect()
    assert alive() is None
    assert training.record.to_text() == text
    assert training.is_of(training.record)


def test_a_record_that_cannot_be_put_aside_stays(tmp_path):
    """A full disk costs memory, not the record."""
    (tmp_path / "taken").write_text("a file")
    training = Training(Recipe(), "cpu", a_record(), None, **OWN)
    training.put_aside(tmp_path / "taken" / "aside.json")
    gc.collect()

    assert training.record == a_record()


def test_what_was_asked_for_last_is_at_hand(tmp_path):
    """The training that is put aside is the one that nobody asked for the longest."""
    trainings = Trainings(lambda: tmp_path)
    for seed in range(4):
        trainings.add(Training(Recipe(seed=seed), "cpu", a_record(seed=seed), None, **OWN))
    trainings.get(Recipe(seed=0), "cpu", "f00d")
    trainings.add(Training(Recipe(seed=4), "cpu", a_record(seed=4), None, **OWN))

    (aside,) = tmp_path.iterdir()
    assert json.loads(aside.read_text())["seed"] == 1
    assert trainings.get(Recipe(seed=1), "cpu", "f00d").record.seed == 1
    assert trainings.get(Recipe(seed=9), "cpu", "f00d") is None
    assert trainings.get(Recipe(seed=1), "cpu", "other code") is None
    assert trainings.has_other(Recipe(seed=1), "cpu")


@pytest.fixture
def imported(monkeypatch):
    """What is imported, in a process that has not imported torch's compiler."""
    found = []
    monkeypatch.delitem(sys.modules, "torch._dynamo")
    monkeypatch.setattr(imports.importlib, "import_module", found.append)
    monkeypatch.setattr(imports.gc, "freeze", lambda: found.append("frozen"))
    return found


def test_torch_is_imported_and_left_alone(imported):
    """First the import, then no garbage collection ever looks at it; other garbage is collected as before."""
    imports.import_what_trains()

    assert imported == ["torch._dynamo", "harness.shipped.loop", "frozen"]
    assert gc.isenabled()


def test_torch_is_imported_once(imported, monkeypatch):
    """A session that has it already changes nothing."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    imports.import_what_trains()

    assert imported == []


@pytest.mark.parametrize("error", [ImportError, OSError("libcudart.so.12: cannot open shared object file")])
def test_torch_that_cannot_be_imported_is_left_to_the_training_that_needs_it(imported, monkeypatch, error):
    """The session goes on, with garbage collection."""

    def broken(name):
        raise error

    monkeypatch.setattr(imports.importlib, "import_module", broken)
    imports.import_what_trains()

    assert imported == []
    assert gc.isenabled()
