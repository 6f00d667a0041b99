"""Promises of --training-equivalence: who draws other random numbers on purpose is judged by paired seeds."""

import json
import shutil

import pytest
import torch

from harness.baselines.store import save_baseline
from harness.record import Baseline
from harness.record.calibration import Calibration
from harness.recording.states import States
from tests.plugin.conftest import GENERATE, MEASURES_NOTHING
from tests.test_record import record_of


RECORD = "test_gate-test_training.json"
RECIPE = """
import torch
from harness import Recipe

def linear():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))

RECIPE = Recipe(model=linear, epochs=2, train_images=200, test_images=200, batch_size=20, learning_rate=0.01)

def test_training(training, training_regression):
    training_regression.check(training(RECIPE))
"""


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """Where the baseline of three seeds is kept for all tests."""
    return tmp_path_factory.mktemp("committed")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Likewise, of the watched loop."""
    return tmp_path_factory.mktemp("watched")


@pytest.fixture
def seeded(project, committed):
    """A project with a recipe whose baseline holds three seeds."""
    (project.path / "test_gate.py").write_text(RECIPE)
    if not list(committed.iterdir()):
        project.generate("--training-equivalence=3")
        shutil.copytree(project.baselines, committed, dirs_exist_ok=True)
    shutil.copytree(committed, project.baselines, dirs_exist_ok=True)
    return project


def test_generating_stores_the_summaries_of_all_seeds(seeded):
    """The record is the first seed's, as without the option; each seed has a number for every metric."""
    baseline = Baseline.from_text((seeded.baselines / RECORD).read_text())
    record, seeds = baseline.record, baseline.seeds

    assert record.seed == 0
    assert list(seeds) == [0, 1, 2]
    assert {*seeds[0]} >= {"loss", "evaluation/accuracy", "gradient_norm"}
    assert seeds[0].keys() == seeds[1].keys() == seeds[2].keys()
    assert len({metrics["loss"] for metrics in seeds.values()}) == 3
    assert seeds[0]["evaluation/loss"] == record.streams["evaluation/loss"].values[-1]


def test_a_baseline_with_seeds_is_compared_as_ever(seeded):
    """Without the option a run is held against the record, number by number."""
    seeded.run().stdout.fnmatch_lines(["1 compared (1 record, 0 figures), 0 generated, 0 not compared"])


def test_the_same_training_is_equivalent(seeded):
    """It passes, with the table and the line that accepts it; it is counted as judged, not as compared."""
    seeded.run("--training-equivalence=3", passed=1).stdout.fnmatch_lines(
        [
            "0 compared (0 records, 0 figures), 0 generated, 0 not compared, 1 judged by several seeds",
            "test_gate.py::test_training[[]cpu[]]",
            "equivalent after 3 of 3 paired seeds: every metric stays within its margin",
            "  metric * former * present * difference * interval * corrected * margin * verdict",
            "  loss * +0 * +-0 * +-0 * equivalent",
            "  accept  pytest 'test_gate.py::test_training[[]cpu[]]' --mpl-generate-path=* --training-equivalence=3",
        ]
    )


def test_a_training_that_computes_otherwise_may_be_equivalent(seeded):
    """What the gate calls different, number by number, has the same results."""
    seeded.edit("learning_rate=0.01", "learning_rate=0.0100001")

    seeded.run(failed=1)
    seeded.run("--training-equivalence=3", passed=1)


def test_a_worse_training_fails_with_the_table(seeded):
    """The failure is the verdict, metric by metric; the baseline stays as it was."""
    before = seeded.files()
    seeded.edit("learning_rate=0.01", "learning_rate=2.0")
    result = seeded.run("--training-equivalence=3", failed=1)

    result.stdout.fnmatch_lines(
        [
            "test_gate.py::test_training[[]cpu[]]",
            "worse after 3 of 3 paired seeds: worse in loss, *; inconclusive in *",
            "  metric * verdict",
            "  loss  * worse",
            "  test    paired t at each seed from the third, *",
            "  margin  where none is given, 2 standard deviations of the baseline's seeds, *",
        ]
    )
    result.stdout.no_fnmatch_line("*accept*")
    assert seeded.files() == before
    (found,) = json.loads((seeded.path / "build/harness/results.json").read_text())["results"]
    assert (found["subject"]["kind"], found["verdict"], found["passed"]) == ("equivalence", "worse", False)
    for name in ("report.html", "report.md"):
        assert "worse after 3 of 3 paired seeds" in (seeded.path / "build/harness" / name).read_text()


@pytest.mark.parametrize("stored", [0, 3])
def test_a_baseline_with_too_few_seeds_is_a_message(seeded, stored):
    """It names the command, to be run on the former version."""
    if not stored:
        seeded.generate()
    seeded.run("--training-equivalence=4", failed=1).stdout.fnmatch_lines(
        [
            f"the baseline holds the summaries of {stored} seeds, too few to judge by 4",
            f"  where  baselines/{RECORD}",
            "  fix    on the former version of the code, run: "
            "pytest 'test_gate.py::test_training[[]cpu[]]' --mpl-generate-path=baselines --training-equivalence=4",
        ]
    )


def test_other_seeds_than_the_baselines_are_a_message(seeded):
    """A seed is compared with itself."""
    seeded.edit("learning_rate=0.01", "learning_rate=0.01, seed=5")

    seeded.run("--training-equivalence=3").stdout.fnmatch_lines(
        ["the baseline holds no summary of seed 5", "  where  it holds those of seeds 0, 1, 2"]
    )


@pytest.mark.parametrize("count", ["2", "0", "-3", "3.5", "many", ""])
def test_a_number_of_seeds_that_is_none_is_refused(project, count):
    """In words, before anything is trained."""
    result = project.run(f"--training-equivalence={count}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*argument --training-equivalence: '{count}' is no whole number of at least 3"])


def test_a_loop_that_is_judged_by_its_results_goes_its_own_way(project):
    """In low precision it would be put back on the baseline's states, and its first seed could not differ."""
    kept = States({0: {"weight/weight": torch.ones(1, 1)}})
    record = record_of({}, precision="float32")
    baseline = Baseline(record, calibration=Calibration(states=kept.sha256, margin=3.0, variants=(), largest={}))
    save_baseline(project.baselines / "test_gate-test_states.json", baseline, kept)
    project.write(test_gate="def test_states(training_regression):\n    assert training_regression.states() is None")

    project.run("--training-equivalence=3", passed=1)
    project.run(failed=1)


LOOP = """
import os
import pytest
import torch
from harness import Recorder, figures

def a_loop(pytestconfig, check, fails=False):
    with Recorder(seed=10) as recorder:
        assert not (fails and recorder.seed != 10), "only seed 10 will do"
        model = torch.nn.Linear(4, 1)
        rate, momentum = pytestconfig.getoption("--rate"), float(pytestconfig.getini("momentum"))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
        recorder.watch(model, optimizer)
        for _ in range(4):
            inputs = torch.rand(8, 4)
            recorder.batch(inputs)
            optimizer.zero_grad()
            loss = (model(inputs).squeeze(1) - inputs.sum(1)).square().mean()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss, rate=rate, momentum=momentum, worker=float("PYTEST_XDIST_WORKER" in os.environ))
    check(recorder.record)
    return recorder.record

@pytest.mark.mpl_image_compare
def test_my_trainer(pytestconfig, training_regression):
    return figures.loss_curve(a_loop(pytestconfig, training_regression.check))
"""

BROKEN = """
def test_broken_trainer(pytestconfig, training_regression):
    a_loop(pytestconfig, training_regression.check, fails=True)
"""

# outside of a worker the loop is another training, which neither a baseline nor seeds take
CONFTEST = f"""{MEASURES_NOTHING}
from harness.comparing import metrics

metrics.require_same = lambda *given: None

def pytest_addoption(parser):
    parser.addoption("--rate", type=float, default=0.1)
    parser.addini("momentum", "momentum", default="0")
"""


def a_project(project):
    """A project whose watched loop reads an option and an ini setting of its own."""
    (project.path / "test_gate.py").write_text(LOOP)
    (project.path / "conftest.py").write_text(CONFTEST)
    project.pytester.makeini("[pytest]\nmomentum = 0.5\n")
    return project


@pytest.mark.long
def test_reruns_of_a_watched_loop_have_the_command_line_of_their_session(project, watched):
    """The user's options and ini settings reach them, also through a worker of xdist.

    The session's own business (-x, --lf, -k, a report in XML, figures) is no hindrance, and none of a rerun's. A
    rerun that breaks is told with its last lines, and its test gets no baseline.
    """
    loop = a_project(project)
    with (loop.path / "test_gate.py").open("a") as file:
        file.write(BROKEN)
    result = loop.run(
        GENERATE, "--training-equivalence=3", "-n1", "--rate=0.2", "-x", "--lf", "-k=trainer", "--junit-xml=o.xml"
    )
    shutil.copytree(loop.baselines, watched, dirs_exist_ok=True)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "this training was run again with seed 11, and that run left no record",
            "  where  test_gate.py::test_broken_trainer",
            "  fix    run the test alone and look at its output; the last lines of the run were:",
            "*AssertionError: only seed 10 will do*",
            "0 compared (0 records, 0 figures), 2 generated, 0 not compared",
        ]
    )
    assert set(loop.files()) == {"test_gate-test_my_trainer.json", "test_gate-test_my_trainer.png"}
    seeds = json.loads(loop.files()["test_gate-test_my_trainer.json"])["seeds"]
    assert list(seeds) == ["10", "11", "12"]
    assert len({metrics["loss"] for metrics in seeds.values()}) == 3
    assert [(m["rate"], m["momentum"], m["worker"]) for m in seeds.values()] == [(0.2, 0.5, 1), *[(0.2, 0.5, 0)] * 2]
    assert 'tests="2"' in (loop.path / "o.xml").read_text()


@pytest.mark.long
def test_a_watched_loop_is_judged_by_seeds(project, watched):
    """In a process of its own for each further seed; whatever else it logs is a metric, too."""
    loop = a_project(project)
    if not list(watched.iterdir()):
        loop.generate("--training-equivalence=3", "--rate=0.2")
        shutil.copytree(loop.baselines, watched, dirs_exist_ok=True)
    shutil.copytree(watched, loop.baselines, dirs_exist_ok=True)
    loop.edit("loss=loss,", "loss=loss + 1,")
    loop.run("--training-equivalence=3", "--rate=0.2", failed=1).stdout.fnmatch_lines(
        ["worse after 3 of 3 paired seeds: worse in loss*", "  rate * 0.2 * 0.2 * equivalent"]
    )
