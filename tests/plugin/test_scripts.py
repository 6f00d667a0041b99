"""Promises to those who train in a script: `runpy` runs it under a recorder, with a few guarded lines in it."""

import os
import runpy
import sys
import time
from pathlib import Path

import pytest

from harness import Recorder, compare, errors
from harness.baselines.origin import sources
from harness.commands import main
from harness.recording.imported import imported
from tests.plugin.conftest import GENERATE


SCRIPT = """
import argparse

import torch
from torch import nn

recorder = globals().get("recorder")


def train(steps, rate):
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    if recorder:
        recorder.watch(model, optimizer)
    for _ in range(steps):
        inputs = torch.randn(4, 8)
        if recorder:
            recorder.batch(inputs)
        loss = model(inputs).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if recorder:
            recorder.log(loss=loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.1)
    train(**vars(parser.parse_args()))
"""
GATED = """
import runpy
from harness import Recorder

def test_script(training_regression, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "--steps", "2"])
    with Recorder() as recorder:
        runpy.run_path("train.py", init_globals={"recorder": recorder}, run_name="__main__")
    training_regression.check(recorder.record)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script, in the folder that a command line would name it from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path / "train.py"


def record(script, *arguments):
    """Run the script under a recorder, with a command line of its own."""
    sys.argv[1:] = arguments
    with Recorder() as recorder:
        runpy.run_path(script.name, init_globals={"recorder": recorder}, run_name="__main__")
    return recorder.record


def test_a_script_is_recorded(script):
    """Its arguments are those of `sys.argv`; the same again is the same, another rate is a matter of the schedule."""
    once = record(script, "--steps", "2")

    assert once.num_steps == 2
    assert compare(once, record(script, "--steps", "2")).verdict == "same"
    assert compare(once, record(script, "--steps", "2", "--rate", "0.1001")).first_divergence.stage == "schedule"


def test_a_script_with_guarded_lines_runs_by_itself(script):
    """Without a recorder it is the script that it was."""
    runpy.run_path(script.name, run_name="__main__")


def test_the_line_of_a_script_is_named(script):
    """As of any module."""
    script.write_text(SCRIPT.replace("torch.randn(4, 8)", "torch.randn(4, 8).float()"))
    with pytest.raises(errors.PrecisionError) as caught:
        record(script)

    lines = script.read_text().splitlines()
    made, used = (1 + next(i for i, line in enumerate(lines) if text in line) for text in (".float()", "model(inputs)"))
    assert caught.value.where == f"train.py:{made}, used in line {used}"


def test_a_script_is_a_source(script):
    """Though it is no module once it has ended; code that comes from no file is none."""
    started = time.time() + 1
    assert imported(script.parent) == []

    record(script)
    with Recorder() as recorder:
        exec(compile(SCRIPT, "<string>", "exec"), {"recorder": recorder, "__name__": "__main__"})
    before = sources(script.parent, started)
    script.write_text(SCRIPT.replace("0.1", "0.2"))
    os.utime(script, (1, 1))  # as one that had stood there before

    assert before.keys() == {"train.py"}
    assert sources(script.parent, started) != before


def test_a_script_that_has_changed_since_is_not_accepted(project, capsys):
    """Its result is stale: what would become the baseline is another script's."""
    project.pytester.makepyfile(test_gate=GATED)
    Path("train.py").write_text(SCRIPT)
    project.run(GENERATE, passed=1)
    Path("train.py").write_text(SCRIPT.replace("lr=rate", "lr=1.01 * rate"))
    project.run("--mpl", failed=1)
    Path("train.py").write_text(SCRIPT.replace("lr=rate", "lr=1.02 * rate"))
    capsys.readouterr()

    assert main(["accept", "--reason", "a larger rate"]) != 0
    assert "is stale: train.py changed after the comparison" in capsys.readouterr().err
