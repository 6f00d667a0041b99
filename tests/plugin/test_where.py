"""Promises of the line that a red training names: in the terminal, in the results, after `harness accept`."""

import json

import pytest

from harness.commands import main
from harness.comparing import variants
from harness.record import Baseline


NET = """
from torch import nn
from torch.nn import functional

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.fc = nn.Linear(2, 10)

    def forward(self, x):
        x = functional.relu(self.conv(x))
        return self.fc(x.mean((2, 3)))
"""
RECIPE = """
from harness import Recipe
from net import Net

RECIPE = Recipe(model=Net, epochs=2, train_images=20, test_images=20, batch_size=8, augmentation=False)

def test_training(training, training_regression):
    training_regression.check(training(RECIPE))
"""
LOOP = """
import torch
from torch.nn import functional
from harness import Recorder
from net import Net

def test_training(training_regression):
    with Recorder() as recorder:
        x, y = torch.rand(12, 3, 6, 6), torch.arange(12) % 10
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for i in range(0, 12, 4):
            recorder.batch(x[i : i + 4], y[i : i + 4])
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x[i : i + 4]), y[i : i + 4])
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    training_regression.check(recorder.record)
"""
LOW = LOOP.replace("Recorder()", "Recorder(precision='float32')")
FILE = "test_gate-test_training.json"
ROW = "  where      net.py:11 in Net.forward      now aten.gelu      baseline aten.relu"


@pytest.fixture
def written(project, monkeypatch, measured_thresholds):
    """Makes a baseline of a test file, whose thresholds are measured by one training."""
    monkeypatch.setattr(variants, "DRAWS", variants.DRAWS[:1])
    for name in ("require_repeatable", "require_same"):
        monkeypatch.setattr(f"harness.comparing.calibrating.{name}", lambda *given: None)

    def write(text):
        project.write(test_gate=text, net=NET)
        project.generate()
        return project

    return write


@pytest.mark.parametrize("text", [RECIPE, *(pytest.param(text, marks=pytest.mark.long) for text in (LOOP, LOW))])
def test_a_red_training_names_the_line_and_what_stands_there_now(written, monkeypatch, text):
    """Directly below the headline; in results, page and, for an annotation, the check.

    Of a recipe and of a loop, in float32 also without states, though nothing is measured there.
    """
    project = written(text)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path))
    assert Baseline.from_text((project.baselines / FILE).read_text()).trace.parts["start"].step == 0
    project.edit("functional.relu", "functional.gelu", "net.py")
    result = project.run()

    lines = result.stdout.lines
    place = next(index for index, line in enumerate(lines) if line.startswith("training differs from its baseline "))
    assert lines[place + 1] == ROW
    (finding,) = json.loads((project.path / "build" / "harness" / "results.json").read_text())["results"]
    assert ROW in finding["text"]
    assert (finding["file"], finding["line"]) == ("net.py", 11)
    page = (project.path / "build" / "harness" / "report.html").read_text()
    parts = "".join(f"<span>{part}</span> " for part in ROW.removeprefix("  where      ").split("      "))
    assert f'<span class="where">{parts}</span>' in page


@pytest.mark.long
def test_an_accepted_record_has_the_trace_of_its_failure(written):
    """So that the next red training is held against it."""
    project = written(RECIPE)
    project.edit("functional.relu", "functional.gelu", "net.py")
    project.run()
    assert main(["accept", "test_gate-test_training", "--reason", "smoother"]) == 0
    project.edit("functional.gelu", "functional.silu", "net.py")
    result = project.run()

    result.stdout.fnmatch_lines(["  where      net.py:11 in Net.forward      now aten.silu      baseline aten.gelu"])


def test_a_training_that_cannot_be_traced_says_so(written, monkeypatch):
    """The rest of the message stands."""
    project = written(RECIPE)
    monkeypatch.setattr("harness.explaining.operations.number", lambda tensors: 1 / 0)
    project.edit("functional.relu", "functional.gelu", "net.py")
    result = project.run()

    result.stdout.fnmatch_lines(["  where      no line is known: ZeroDivisionError: division by zero", "  recipe *"])
