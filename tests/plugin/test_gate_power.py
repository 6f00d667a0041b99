"""Promises of --training-gate-power: faults are planted in every training, and those that escape are told."""

import json

import pytest
import torch

from harness import faults
from harness.comparing import variants
from harness.faults import FAULTS, gate_power
from harness.faults.base import Fault, weights
from harness.record import Calibration
from harness.recording.perturbation import Perturbation, Rerun
from tests.plugin.conftest import GENERATE


class Overlooked(Fault):
    """A fault that moves nothing."""

    reason = "never"

    def before_step(self, optimizer):
        """Take effect, so to speak."""
        self.planted = True


class Whispered(Fault):
    """A fault that moves what 1e-10 would notice."""

    reason = "never"

    @torch.no_grad()
    def after_step(self, optimizer):
        """Move each weight by 1e-9 of itself."""
        for parameter in weights(optimizer):
            parameter.mul_(1 + 1e-9)
        self.planted = True


def loosely(record, states, rerun):
    """A calibration by which rounding grows to 3e-7."""
    moved = {key.family for key, stream in record.streams.items() if stream.stage not in ("data", "schedule")}
    largest = {family: (0.0 if family == "init" else 1e-9, 1e-9, 1e-8) for family in moved}
    return Calibration(variants=("jitter 1",), margin=30.0, largest=largest)


def only(monkeypatch, *names):
    """Let there be a few faults only, in their order."""
    known = {**FAULTS, "overlooked": Overlooked, "whispered": Whispered}
    for module in (faults, gate_power):
        monkeypatch.setattr(module, "FAULTS", {name: known[name] for name in names})


def test_the_power_of_a_recipe_is_told_fault_by_fault(project, monkeypatch):
    """A passing test gets a score, a line a fault in the summary, and the session a total; nothing is published."""
    only(monkeypatch, "label-swapped", "rate-scaled", "eval-forgotten")
    project.generate()
    project.run("--training-gate-power", "-k", "test_training", passed=1, deselected=1).stdout.fnmatch_lines(
        [
            "1 training in * s",
            "1 compared (1 record, 0 figures), 0 generated, 0 not compared",
            "gate power 1.00: 2 of 2 planted faults caught   cifar_cnn, synthetic, float64, cpu   "
            "test_gate.py::test_training[[]cpu[]]",
            "  label-swapped   caught at step 1, data, places of the samples in labels",
            "  rate-scaled     caught at step 0, schedule, learning rate of conv1.weight and 3 more",
            "  eval-forgotten  not planted: no watched model computes otherwise in evaluation mode",
            "gate power: 2 of 2 planted faults caught",
            "margins of what passed: deviation 0.0e+00, at most 0 % of a threshold",
        ]
    )


@pytest.mark.long
def test_a_fault_that_escapes_fails_where_too_many_do(project, monkeypatch):
    """Without a least share it is told, and no more; with one, that is the test's failure.

    The thresholds are those of the baseline, which may be less sharp than 1e-10.
    """
    only(monkeypatch, "rate-scaled", "whispered")
    monkeypatch.setattr("harness.comparing.calibrating.calibrate", loosely)
    project.run(GENERATE, "-k", "test_training")
    told_of(project, "0", passes=True).stdout.no_fnmatch_line("  below *")
    result = told_of(project, "0.51", passes=False)

    result.stdout.fnmatch_lines(["  rate-scaled  caught *", "  below training_gate_power_min = 0.51"])
    assert "ESCAPED: it moved nothing" in (project.path / "build/harness/report.html").read_text()


def told_of(project, least, *, passes):
    """Measure the power where at least a share is asked for; whether it is enough or not, the fault is told."""
    options = ["--training-gate-power", "-k", "test_training", "-o", f"training_gate_power_min={least}"]
    result = project.run(*options, passed=passes, failed=not passes, deselected=1)

    result.stdout.fnmatch_lines(
        [
            "gate power 0.50: 1 of 2 planted faults caught   cifar_cnn, synthetic, float64, cpu   test_gate.py::*",
            "  whispered    ESCAPED: it moved nothing beyond the threshold",
            "  rate-scaled  caught at step 0, schedule, learning rate of conv1.weight and 3 more",
            "gate power: 1 of 2 planted faults caught",
        ]
    )
    content = json.loads((project.path / "build/harness/results.json").read_text())
    found = {result["subject"]["kind"]: result for result in content["results"]}
    assert found.keys() == {"training", "power"}
    assert (found["power"]["verdict"], found["power"]["passed"]) == ("escaped", passes)
    told = {"kind": "power", "planted": 2, "caught": 1, "escaped": ["whispered"]}
    assert found["power"]["subject"] == told
    assert "ESCAPED: it moved nothing" in (project.path / "build/harness/report.md").read_text()
    return result


def test_a_red_test_has_no_power_to_measure(project, monkeypatch):
    """What differs from its baseline is told; nothing is planted in it."""
    only(monkeypatch, "rate-scaled")
    project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    project.run("--training-gate-power", "-k", "test_training", failed=1, deselected=1).stdout.no_fnmatch_line(
        "*gate power*"
    )


def test_writing_a_baseline_plants_nothing(project, monkeypatch):
    """A fault in force while a baseline is written would be in it."""
    only(monkeypatch, "rate-scaled")

    project.run(GENERATE, "--training-gate-power").stdout.no_fnmatch_line("*gate power*")


@pytest.mark.parametrize("share", ["-0.1", "1.1", "95%", "nan"])
def test_a_share_that_is_none_is_refused(project, share):
    """In words, before anything is trained."""
    result = project.run("--training-gate-power", "-o", f"training_gate_power_min={share}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: training_gate_power_min = {share} is no number from 0 to 1"])


@pytest.mark.long
def test_in_low_precision_faults_are_held_against_the_calibrated_baseline(project, monkeypatch):
    """Run again without a fault, the training is within its thresholds; a fault is beyond them."""
    monkeypatch.setattr(variants, "KERNELS", [])
    monkeypatch.setattr(variants, "DRAWS", [Rerun("jitter 1", Perturbation(jitter=1))])
    only(monkeypatch, "momentum-changed", "overlooked")
    project.edit("warmup_steps=1)", 'warmup_steps=1, precision="float32")')
    project.generate()
    project.run("--training-gate-power", "-k", "test_training", passed=1, deselected=1).stdout.fnmatch_lines(
        [
            "gate power 0.50: 1 of 2 planted faults caught   cifar_cnn, synthetic, float32, cpu   *",
            "  overlooked        ESCAPED: it moved nothing beyond the threshold",
            "  momentum-changed  caught at step 1, schedule, momentum of conv1.weight*",
        ]
    )


LOOPS = """
import dataclasses
import json
import os
import torch
from harness import Recorder
from harness.faults.tensors import TensorFrozen

LUCK = torch.rand(8, 4, generator=torch.Generator().manual_seed(os.getpid()))

FAULT = json.loads(open(os.environ["HARNESS_RERUN"]).read())["fault"] if "HARNESS_RERUN" in os.environ else ""

def a_loop(inputs_of, fragile=False, file=__file__):
    with Recorder() as recorder:
        model = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(4):
            inputs = inputs_of()
            recorder.batch(inputs)
            optimizer.zero_grad()
            loss = (model(inputs).squeeze(1) - inputs.sum(1)).square().mean()
            loss.backward()
            before = [parameter.detach().clone() for parameter in model.parameters()]
            optimizer.step()
            assert not fragile or not any(map(torch.equal, before, model.parameters())), "it does not learn"
            recorder.log(loss=loss)
            os.stat(file)
    return recorder.record

def drawn():
    return torch.rand(8, 4)

def test_fragile(training_regression):
    training_regression.check(a_loop(drawn, fragile=True))

def test_blind(training_regression):
    record = a_loop(drawn)
    training_regression.check(dataclasses.replace(record, streams={"batch/size": record.streams["batch/size"]}))

def test_lucky(training_regression):
    training_regression.check(a_loop(lambda: LUCK.double()))

def bug(fault, optimizer):
    raise TypeError("a bug of the harness")

def test_buggy(training_regression, monkeypatch):
    if FAULT:
        monkeypatch.setattr(TensorFrozen, "after_step", bug)
    try:
        record = a_loop(drawn)
    except Exception as error:
        raise RuntimeError("what others make of it") from error
    training_regression.check(record)

def test_fileless(training_regression):
    training_regression.check(a_loop(drawn, file="no/file" if FAULT else __file__))
"""


@pytest.mark.long
def test_watched_loops_are_run_again_under_every_fault(project, monkeypatch):
    """A loop that breaks has caught the fault, and one whose test looks at nothing lets it escape.

    One that draws outside of its recorder cannot be measured, and where the fault itself breaks, or a file is missing,
    nothing is caught.
    """
    only(monkeypatch, "tensor-frozen")
    project.write(test_gate=LOOPS)
    project.generate()
    result = project.run("--training-gate-power", "-o", "training_gate_power_min=0.5", passed=1, failed=4)

    result.stdout.fnmatch_lines(
        [
            "gate power: no fault could be planted   training, float64, cpu   test_gate.py::test_buggy",
            "  tensor-frozen  not planted: planting raised TypeError: a bug of the harness",
            "  1 fault could not be tried, which is a failure of training_gate_power_min = 0.5",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "gate power: no fault could be planted   training, float64, cpu   test_gate.py::test_fileless",
            "  tensor-frozen  not planted: the training ended with FileNotFoundError: *, which tells nothing of the *",
            "  1 fault could not be tried, which is a failure of training_gate_power_min = 0.5",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "gate power 0.00: 0 of 1 planted fault caught   training, float64, cpu   test_gate.py::test_blind",
            "  tensor-frozen  ESCAPED: it moved nothing beyond the threshold",
            "  below training_gate_power_min = 0.5",
            "this training, run again without any change, is not the same",
            "  where  test_gate.py::test_lucky",
            "  fix    draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators *",
            "4 compared (4 records, 0 figures), 0 generated, 0 not compared",
            "gate power 1.00: 1 of 1 planted fault caught   training, float64, cpu   test_gate.py::test_fragile",
            "  tensor-frozen  caught: the training ended with AssertionError: it does not learn*",
            "gate power: 1 of 2 planted faults caught",
        ]
    )
