"""Promises of what a session says in a line: of a failure its cause, of a figure of a red training whose it is."""

import re
import xml.etree.ElementTree as ET

import pytest

from harness.errors import RecorderError


LOOP = """
import numpy
import pytest
import torch
from harness import Recorder
from matplotlib.figure import Figure

def train():
    with Recorder() as recorder:
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(2):
            images = torch.rand(5, 4)
            recorder.batch(images)
            loss = model(images).square().sum()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    return recorder.record

@pytest.fixture(scope="module")
def record():
    return train()

@pytest.fixture
def another():
    return train()

def test_training(record, training_regression):
    training_regression.check(record)

@pytest.mark.mpl_image_compare
def test_picture(record):
    figure = Figure(figsize=(1, 1))
    figure.figimage(numpy.full((100, 100), record.streams["loss"].values[1]), vmin=0, vmax=2, cmap="gray")
    return figure
"""
TRAINING, PICTURE = "test_gate.py::test_training", "test_gate.py::test_picture"
RED = "step 0, learning rate of all parameters: 0.1 -> 0.2"
FAR = r"RMS \d+\.\d\d, tolerance 2"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal in which pytest cuts no line."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def red(project):
    """A project whose learning rate is not its baseline's."""
    (project.path / "test_gate.py").write_text(LOOP)
    project.generate()
    project.edit("lr=0.1", "lr=0.2")
    return project


def said(result):
    """Test to what pytest's summary says of it."""
    lines = (re.fullmatch(r"(?:FAILED|ERROR) (\S+) - (.*)", line) for line in result.outlines)
    return {line[1]: line[2] for line in lines if line}


def section(result, test):
    """The lines that a failed test printed."""
    start = next(place for place, line in enumerate(result.outlines) if re.fullmatch(f"_+ {test} _+", line))
    end = next(place for place in range(start + 1, 10**6) if re.match("__|==", result.outlines[place]))
    return result.outlines[start + 1 : end]


@pytest.mark.parametrize("options", [(), ("-rA", "--tb=no"), ("--tb=line",)], ids=str)
def test_the_summary_begins_with_the_cause(red, options):
    """Whatever is printed above it."""
    found = said(red.run("--mpl", *options))

    assert found[TRAINING] == RED
    assert re.fullmatch(f"follows from test_training: {FAR}", found[PICTURE])


def test_what_is_printed_above_stays_whole(red):
    """The headline, its rows, and for the figure a line."""
    result = red.run("--mpl")

    lines = section(result, "test_training")
    assert lines[0] == "training differs from its baseline from step 0 on: schedule, learning rate of all parameters"
    assert lines[-1] == '  accept     harness accept test_gate-test_training --reason "..."'
    (line,) = section(result, "test_picture")
    assert re.fullmatch(f"follows from test_training: {FAR}", line)
    assert 'accept all 2: harness accept --reason "..."' in result.outlines


def test_junit_has_the_cause_and_the_whole_message(red):
    """The one as the failure's message, the other as its text."""
    red.run("--mpl", "--junit-xml=junit.xml")
    failure, _ = ET.parse(red.path / "junit.xml").iter("failure")

    assert failure.get("message") == RED
    assert failure.text.startswith("training differs from its baseline from step 0 on: schedule,")


def test_a_figure_that_is_the_first_to_see_it_tells(red):
    """Where the training is checked after it, or not at all, the figure says how far it is and what accepts it."""
    result = red.run("--mpl", PICTURE, TRAINING)

    assert re.fullmatch(FAR, said(result)[PICTURE])
    assert said(result)[TRAINING] == RED
    headline, *rows = section(result, "test_picture")
    assert re.fullmatch(f"the figure differs from its baseline: {FAR}", headline)
    assert rows == [
        "  look      build/harness/report.html",
        "  look      build/harness/figures/test_gate.test_picture/side-by-side.png",
        '  accept    harness accept test_gate-test_picture --reason "..."',
    ]


def test_a_figure_of_another_record_follows_from_nothing(red):
    """That a training of its file is red says nothing of a figure that is not of that training."""
    red.edit("def test_picture(record):", "def test_picture(another):\n    record = another")
    found = said(red.run("--mpl"))

    assert found[TRAINING] == RED
    assert re.fullmatch(FAR, found[PICTURE])


def test_what_has_no_baseline_says_so(project):
    """A missing baseline, of a training and of a figure, and a mistake in a loop begin with what is wrong."""
    (project.path / "test_gate.py").write_text(LOOP)
    assert said(project.run("--mpl")) == {
        TRAINING: "there is no baseline for this training yet",
        PICTURE: "there is no baseline for this figure yet",
    }

    project.edit("optimizer.step()", "pass")
    assert said(project.run("--mpl"))[TRAINING] == RecorderError.never_stepped().what


@pytest.mark.long
def test_workers_say_it_too(red):
    """What a worker reports crosses to the session; tests of one record are dealt to one worker."""
    red.measures_nothing()
    found = said(red.run("--mpl", "-n", "1"))

    assert found[TRAINING] == RED
    assert found[PICTURE].startswith("follows from test_training: RMS")
