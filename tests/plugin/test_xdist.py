"""Promises beside pytest-xdist: a training once over all workers, room for each, the verdicts of one process."""

import functools
import json
import re
import threading
from dataclasses import replace
from operator import attrgetter

import pytest
from filelock import FileLock, Timeout

from harness import Recipe
from harness.elsewhere.sharing import Sharing
from harness.errors import OutputError
from harness.record import Baseline
from harness.record.streams import Stream
from harness.recording.states import States
from tests.projects import GATE, SMALL
from tests.test_report import a_record


RECIPE = Recipe(width=2)


@pytest.fixture
def shared(tmp_path):
    """What the workers of a session share."""
    return Sharing(tmp_path / "trainings")


def measured(project):
    """Name and text of every record, but for what says when it was made."""
    texts = {name: data.decode() for name, data in project.files().items() if name.endswith("json")}
    return {name: replace(Baseline.from_text(text), origin={}).to_text() for name, text in texts.items()}


@pytest.mark.long
def test_workers_write_the_baselines_of_one_process(project):
    """Tests that ask for one training share it, whichever worker they run in; those of one fixture run in one."""
    project.measures_nothing()
    project.write(test_other=GATE)
    project.generate()
    before = measured(project)
    result = project.run("--mpl-generate-path=others", "-n", "2", "-v")
    project.baselines = project.path / "others"
    ran = re.findall(r"\[(gw\d)\] .* PASSED (test_\w+)\.py::(\w+)", result.stdout.str())

    result.stdout.fnmatch_lines(["1 training in *", "0 compared (0 records, 0 figures), 4 generated, 0 not compared"])
    assert measured(project) == before
    assert len(ran) == 4
    assert len({(file, worker) for worker, file, _ in ran}) == 2


@pytest.mark.long
def test_workers_come_to_the_verdicts_of_one_process(project):
    """Every test of a changed training is red with its first divergence, whoever trained; the others stay green.

    No worker prints a line of its own into pytest's output.
    """
    changed = GATE.replace("width=2", "width=3")
    project.write(test_changed=changed)
    project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06", "test_changed.py")
    result = project.run("--mpl", "-n", "2", "--dist", "load", passed=2, failed=2)

    result.stdout.fnmatch_lines(["2 trainings in *", "4 compared (2 records, 2 figures), *", "accept all 2: *"])
    first = "training differs from its baseline from the start: structure, learning_rate of the configuration"
    assert sum(line.startswith(first) for line in result.outlines) == 1
    assert not [line for line in result.outlines if line.startswith("training cifar")]


def test_workers_leave_a_project_without_tests_of_ours_as_it_is(project):
    """Whoever merely has the plugin installed finds no folder of ours."""
    (project.path / "test_gate.py").write_text("def test_plain():\n    pass\n")
    project.run("-n", "1", passed=1)

    assert not (project.path / "build").exists()


FLAKY = """
from pathlib import Path

def test_flaky(training, training_regression):
    training_regression.check(training(RECIPE))
    tried = Path(__file__).with_name("tried")
    if not tried.exists():
        tried.touch()
        raise OSError("no network")
"""


@pytest.mark.long
def test_a_rerun_of_a_flaky_test_neither_trains_nor_reports_twice(project):
    """pytest-rerunfailures tries it again in its worker."""
    pytest.importorskip("pytest_rerunfailures")
    project.write(test_flaky=SMALL + FLAKY)
    (project.path / "tried").touch()
    project.generate()
    options = ["-p", "no:randomly", "--mpl", "-n", "1", "--reruns", "1"]
    (project.path / "tried").unlink()
    result = project.pytester.runpytest_inprocess(*options)
    report = json.loads((project.path / "build/harness/results.json").read_text())

    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 training in *", "*3 passed, 1 rerun in *"])
    assert len(report["results"]) == 3


def test_a_shared_training_is_what_was_trained(shared):
    """Record, states and the test that asked come back as they were; the second worker does not train."""
    record, states = a_record(), States()
    states.keep(0, {"weight/a": pytest.importorskip("torch").ones(3)})
    first = shared.trained(RECIPE, "cpu", lambda: (record, states, "test_a.py::test_ü"))
    second = shared.trained(RECIPE, "cpu", lambda: pytest.fail("trained twice"))
    other = shared.trained(RECIPE, "cpu", lambda: (record, None, "by other code"), "f00d")

    assert other[2] == "by other code"
    assert second[2] == first[2]
    assert first == (record, states, "test_a.py::test_ü")
    assert second[0].to_text() == record.to_text()
    assert second[1].to_bytes() == states.to_bytes()


def test_workers_that_ask_at_once_wait_for_the_one_that_trains(tmp_path):
    """Eight ask, one trains, all have its record."""
    trained, found, start = [], [], threading.Barrier(8)

    def train():
        trained.append(a_record())
        return trained[-1], None, ""

    def worker():
        start.wait()
        found.append(Sharing(tmp_path).trained(RECIPE, "cpu", train)[0].to_text())

    workers = [threading.Thread(target=worker) for _ in range(8)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()

    assert len(trained) == 1
    assert found == [trained[0].to_text()] * 8


@pytest.mark.parametrize("model", [lambda: None, functools.partial(a_record, 3), attrgetter("x"), Stream])
def test_a_model_that_no_other_worker_can_recognise_is_not_shared(shared, model):
    """A lambda, a partial, an object: their names do not tell them apart."""
    recipe = Recipe(model=model)

    assert shared.trained(recipe, "cpu", lambda: (1, None, "a")) == (1, None, "a")
    assert shared.trained(recipe, "cpu", lambda: (2, None, "b")) == (2, None, "b")


@pytest.mark.parametrize("source", ["def model(): ...", "class model:\n  def __init__(self): ..."])
def test_models_of_one_name_in_two_files_are_two_models(shared, source):
    """Two folders' conftest.py may each have a `model`."""
    for count, folder in enumerate("ab"):
        names = {"__name__": "conftest"}
        exec(compile(source, f"{folder}/conftest.py", "exec"), names)
        recipe = Recipe(model=names["model"])

        assert shared.trained(recipe, "cpu", lambda count=count: (a_record(seed=count), None, ""))[0].seed == count
        assert shared.trained(recipe, "cpu", lambda: pytest.fail("trained twice"))[0].seed == count


def test_models_that_a_decorator_or_a_loop_makes_are_told_apart(shared):
    """They share name, file and line; one that stands under its name is shared, the others are not."""

    def by(names, source):
        exec(compile(source, "models.py", "exec"), names)
        return names["A"], names["B"]

    decorated = """
import functools
def scaled(factor):
    def decorate(function):
        return functools.wraps(function)(lambda: function(factor))
    return decorate
def build(factor): ...
A, B = scaled(3)(build), scaled(5)(build)
"""
    loop = """
made = []
for width in 2, 4:
    def build(width=width): ...
    made.append(build)
A, B = made
"""
    for source in (decorated, loop):
        for count, model in enumerate(by({"__name__": "models"}, source)):
            found, *_ = shared.trained(Recipe(model=model), "cpu", lambda count=count: (a_record(seed=count), None, ""))
            assert found.seed == count


def test_a_training_that_fails_is_tried_by_the_next_worker(shared):
    """Each test then says for itself what is wrong; nobody waits for ever."""

    def fails():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            shared.trained(RECIPE, "cpu", fails)


def test_a_training_that_cannot_be_passed_on_is_run_by_each(shared, monkeypatch):
    """A full disk costs time, not verdicts."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.elsewhere.sharing.write", full)
    for count in range(2):
        assert shared.trained(RECIPE, "cpu", lambda count=count: (a_record(seed=count), None, ""))[0].seed == count


@pytest.mark.parametrize(("device", "slots"), [("cpu", 2), ("cuda", 1)])
def test_there_is_room_for_one_training_a_core_and_one_a_gpu(shared, tmp_path, monkeypatch, device, slots):
    """While as many are under way, every slot is held; a slot is free again after its training, failed or not."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    locks = [FileLock(tmp_path / "trainings" / f"{device}-{slot}.lock") for slot in range(slots)]

    def free():
        count = 0
        for lock in locks:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            count += 1
            lock.release()
        return count

    def fill(depth):
        with shared.room(device):
            assert free() == slots - depth
            if depth < slots:
                fill(depth + 1)
        assert free() == slots - depth + 1

    fill(1)
    with pytest.raises(ZeroDivisionError), shared.room(device):
        raise ZeroDivisionError
    assert free() == slots


def test_workers_that_cannot_lock_each_other_out_say_so(tmp_path):
    """A message, no traceback."""
    (tmp_path / "trainings").write_text("a file where the folder should be")

    with pytest.raises(OutputError, match="what this session found cannot be kept: "):
        Sharing(tmp_path / "trainings").trained(RECIPE, "cpu", lambda: pytest.fail("trained"))


def test_one_process_shares_with_nobody():
    """Without workers nothing is written and nobody waits."""
    alone = Sharing(None)

    with alone.guarded("a"), alone.room("cpu"):
        assert alone.trained(RECIPE, "cpu", lambda: (1, None, "a")) == (1, None, "a")


def test_workers_in_another_folder_write_no_baselines(project, tmp_path):
    """They would be left there, and the next comparison would find none."""
    root = str(project.path)
    elsewhere = [f"--tx=popen//chdir={tmp_path}", "--dist=load", f"--rsyncdir={root}", "-Wignore::DeprecationWarning"]
    result = project.run("--mpl-generate-path=baselines", *elsewhere, root)

    result.stderr.fnmatch_lines(["*a worker of pytest-xdist in a folder of its own would leave the baselines there"])
    assert not (tmp_path / "baselines").exists()
