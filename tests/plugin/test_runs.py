"""Promises of the TensorBoard runs: each training beside its baseline, and no traceback if they cannot be written."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness import read_events
from tests.plugin.conftest import GENERATE


RUNS = "build/harness/tensorboard"
FEW = ("loss_curve", "filters")
CHANGE = ("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")


def runs(project, folder=RUNS):
    """Name of each run, with its event files, its last loss and its labelled figures."""
    found = {}
    for path in sorted((project.path / folder).glob("*/*")):
        files = [file for file in path.iterdir() if "tfevents" in file.name]
        if files:
            figures = figures_in(path)
            losses = read_events(path).streams["training/loss"].values
            found[f"{path.parent.name.rpartition('-')[0]}/{path.name}"] = (len(files), losses[-1], bool(figures))
    return found


def figures_in(run):
    """Tags of a run's labelled figures."""
    return [tag for tag in EventAccumulator(str(run)).Reload().Tags()["images"] if not tag.startswith("images/")]


@pytest.fixture
def few_figures(monkeypatch):
    """Two labelled figures of a record, where fifteen take two seconds."""
    monkeypatch.setattr("harness.figures.OF_A_RECORD", FEW)


NOW, BASELINE = ("cifar_cnn-synthetic/now", "cifar_cnn-synthetic/baseline")


def test_a_green_training_lies_on_its_baseline(project):
    """Both runs are there, with the same curves; the figures that take long to draw are not."""
    project.generate()
    project.run(passed=2)
    found = runs(project)

    assert found[NOW] == found[BASELINE]
    assert (found[NOW][0], found[NOW][2]) == (1, False)


def test_a_red_training_lies_beside_its_baseline(project):
    """Other curves under the same tags, and how far one is from the other."""
    project.generate()
    (project.path / RUNS).rename(project.path / "before")
    project.edit(*CHANGE)
    project.run(failed=1, passed=1)
    found = runs(project)

    assert found[NOW][1] != found[BASELINE][1] == runs(project, "before")[NOW][1]
    assert found[NOW][0] == found[BASELINE][0] == 1
    (baseline,) = (project.path / RUNS).glob("*/baseline")
    assert (figures_in(baseline.with_name("now")), figures_in(baseline)) == (["comparison/deviations"], [])


@pytest.mark.usefixtures("few_figures")
def test_deviations_are_added_to_figures_that_were_drawn_before(project):
    """With --training-tensorboard all figures are there when a comparison differs: one run, everything once."""
    project.generate()
    project.edit(*CHANGE)
    project.run(f"--training-tensorboard={RUNS}")

    assert runs(project)[NOW][0] == 1
    assert sorted(figures_in(next((project.path / RUNS).glob("*/baseline")).with_name("now"))) == sorted(
        [*(f"figures/{name}" for name in FEW), "comparison/deviations"]
    )


def test_a_new_baseline_has_no_former_one_beside_it(project):
    """What was compared in an earlier session is gone when the baseline is written anew."""
    project.generate()
    project.run()
    assert BASELINE in runs(project)
    project.generate()

    assert list(runs(project)) == [NOW]


@pytest.mark.usefixtures("few_figures")
def test_a_folder_of_ones_own_gets_the_figures_too(project):
    """Who names the folder wants to look: everything is drawn, and the summary says how to open it."""
    result = project.run(GENERATE, "--training-tensorboard=mine")

    result.stdout.fnmatch_lines(["look: tensorboard --logdir mine"])
    assert not (project.path / RUNS).exists()
    assert {name: entry[2] for name, entry in runs(project, "mine").items()} == {NOW: True}


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_training(project):
    """One of our errors, word for word, from the command line."""
    (project.path / "taken").write_text("a file")
    result = project.run("--training-tensorboard=taken/runs")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: the TensorBoard run could not be written: Not a directory",
            f"  where  {project.path}/taken/runs",
            "  fix    give a folder that can be written to",
        ]
    )
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_default_folder_that_cannot_be_written_to_fails_with_a_message(project):
    """Without the option the place is tried when the first run is written: no traceback either."""
    (project.path / "build" / "harness").mkdir(parents=True)
    (project.path / RUNS).write_text("a file")
    result = project.run(GENERATE, errors=2)

    result.stdout.fnmatch_lines(
        [
            "the TensorBoard run could not be written: Not a directory",
            f"  where  {project.path}/build/harness/tensorboard/cifar_cnn-synthetic-*/now",
            "  fix    give a folder that can be written to",
        ]
    )
    assert "Traceback" not in result.stdout.str()
