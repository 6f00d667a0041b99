"""Promises of the pictures of a failure: they are there when it is, named in its message, and gone with it."""

import numpy as np
import pytest
from PIL import Image

from harness.report.figure_text import LABELLED
from harness.report.json_form import read
from tests.plugin.test_check_events import EVENTS
from tests.projects import FAULT


FOLDER = "build/harness/pictures/test_gate-test_training-cpu"
SHEET = "build/harness/figures/test_gate.test_loss_curve=cpu/side-by-side.png"


def pictures(project):
    """Format and number of frames of each picture of trainings."""
    found = {}
    for path in sorted((project.path / "build/harness/pictures").rglob("*.*")):
        with Image.open(path) as image:
            found[path.name] = (image.format, image.n_frames)
    return found


@pytest.mark.usefixtures("real_pictures")
def test_a_red_session_leaves_pictures_until_a_green_one(project):
    """Deviations and film of the training, a sheet of the figure, each named in the message; none of them stays."""
    project.generate()
    project.edit(*FAULT)
    lines = [f"  look      {SHEET}", f"  look       {FOLDER}/deviations.png", f"  look       {FOLDER}/film.gif"]
    tests = (f"test_gate.py::test_{name}[cpu]" for name in ("loss_curve", "training"))  # a figure that only follows
    project.run("--mpl", *tests).stdout.fnmatch_lines(lines)  # has no sheet

    (figure,) = (found for found in read(project.path / "build/harness/results.json").results if found.figure)
    assert figure.figure.of == "test_gate.py::test_training[cpu]"  # although it ran later
    assert all((project.path / SHEET).with_name(name).is_file() for name in LABELLED)
    assert pictures(project) == {"deviations.png": ("PNG", 1), "film.gif": ("GIF", 6)}
    baseline, now, difference = np.hsplit(np.asarray(Image.open(project.path / SHEET))[28:508, 12:], 3)
    assert (baseline != now).any()
    assert (difference[:, :640] != 255).any()

    project.edit(*FAULT[::-1])
    project.run("--mpl", passed=2)
    assert pictures(project) == {}
    assert not (project.path / SHEET).exists()


@pytest.mark.usefixtures("real_pictures")
def test_a_training_without_gradients_has_no_film(project):
    """Event files hold none: the message names the deviations alone."""
    project.write(test_gate=EVENTS)
    project.generate()
    project.edit("RATE, STEPS = 0.1", "RATE, STEPS = 0.1001")
    result = project.run()

    result.stdout.fnmatch_lines([f"  look       {FOLDER}/deviations.png", "  look       tensorboard --logdir *"])
    assert pictures(project) == {"deviations.png": ("PNG", 1)}


def test_a_figure_without_a_baseline_has_no_sheet(project):
    """There is nothing to lay beside it."""
    result = project.run("--mpl", "-k", "test_loss_curve")

    result.stdout.fnmatch_lines(["there is no baseline for this figure yet"])
    assert not (project.path / SHEET).exists()
