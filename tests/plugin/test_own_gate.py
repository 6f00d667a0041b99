"""Promises of check(ignore=, thresholds=, allow_nonfinite=): a gate is loosened with a reason, and for all to see."""

import contextlib
import json
import re
from unittest.mock import Mock

import pytest

from harness.commands import main
from harness.plugin.record_check import RecordCheck
from harness.record import Baseline
from harness.record.gate import Gate
from harness.recording.perturbation import Reran, Rerun
from tests.plugin.conftest import GENERATE
from tests.test_comparison import series
from tests.test_record import record_of


PROGRAM = """
import torch
from harness import Recorder

ACCURACY, POISONED, FACTOR, RATE = 0.5, 2, 1.0, 0.1

def trained():
    with Recorder(name="skipper") as recorder:
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        recorder.watch(model, optimizer)
        for step in range(4):
            inputs = torch.rand(2, 3)
            recorder.batch(torch.tensor([step]))
            loss = model(inputs).square().mean() * (float("nan") if step == POISONED else FACTOR)
            optimizer.zero_grad()
            loss.backward()
            recorder.log(loss=loss)
            if loss.isfinite():
                optimizer.step()
        recorder.evaluation(accuracy=ACCURACY)
    return recorder.record

def test_training(training_regression):
    training_regression.check(trained(), **GIVEN)

"""
RECORD = "test_gate-test_training.json"
GIVEN = '{"ignore": ["evaluation/*"], "thresholds": {"weight/*": 1e-6}, "allow_nonfinite": ["loss"]}'
REASON = "--training-reason=few images"
WORDS = "ignores evaluation/[*] and lets weight/[*] part by 1e-06 and allows NaN and infinity in loss"


@pytest.fixture
def program(project):
    """A project whose program skips the step of a NaN, and whose test is given arguments."""

    def write(given=GIVEN, **changes):
        text = PROGRAM + f"GIVEN = {given}\n"
        for name, value in changes.items():
            text += f"{name.upper()} = {value}\n"
        project.write(test_gate=text)
        return project

    return write


@pytest.fixture
def gate(program):
    """Such a project with its baseline."""
    program().generate(REASON)
    return program


def test_a_loosened_gate_passes_what_it_lets_go_and_says_so(gate):
    """In the summary, in the note that reports hold, and in the lines of `harness list` and `harness show`."""
    project = gate(accuracy=0.25)
    result = project.run(passed=1)

    said = f"1 gate is loosened by its test: test_gate.py::test_training {WORDS}: 'few images'"
    result.stdout.fnmatch_lines(["1 compared *", said, "margins of what passed*"])
    results = json.loads((project.path / "build/harness/results.json").read_text())["results"]
    assert results[0]["text"].endswith(f"; the test {WORDS.replace('[*]', '*')}: 'few images'")
    assert WORDS.replace("[*]", "*") in (project.path / "build/harness/report.md").read_text()


def test_commands_name_a_loosened_gate(gate, capsys, monkeypatch):
    """Whoever reviews the baselines sees which test lets what go, and why."""
    monkeypatch.chdir(gate().path)
    words = f"{WORDS.replace('[*]', '*')}: 'few images'"

    assert main(["list"]) == 0
    assert f"its test {words}" in capsys.readouterr().out
    assert main(["show", "test_gate-test_training"]) == 0
    assert re.search(rf"\n  gate +{re.escape(words)}\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rate": 0.11}, "training differs from its baseline from step 0 on: schedule, learning rate *"),
        ({"poisoned": 3}, "training differs from its baseline from step 2 on: *"),
    ],
)
def test_a_loosened_gate_is_red_for_the_rest(gate, change, line):
    """NaN at another step, too; the failure names the gate."""
    result = gate(**change).run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([line, f"  gate       {WORDS}: 'few images'", "1 gate is loosened *"])


def test_a_gate_is_not_loosened_without_a_reason(program):
    """Nothing is written; a reason of the baseline is a reason of its gate."""
    project = program('{"thresholds": {"loss": 0.1}}', poisoned=9)
    project.run(GENERATE, failed=1).stdout.fnmatch_lines(
        ["a gate is not loosened without a reason: the test *", "  where  test_gate.py::*"]
    )
    assert not project.files()
    project.run(GENERATE, REASON, passed=1)
    assert Baseline.from_text(project.files()[RECORD].decode()).gate.reason == "few images"


def test_expected_nan_needs_no_reason_and_is_named(program):
    """It is compared like any number; without the argument no baseline is written."""
    result = program("{}").run(GENERATE)
    result.stdout.fnmatch_lines(["loss is nan at step 2 (forward)", "*allow_nonfinite=[[]'loss', ...[]])"])
    result = program('{"allow_nonfinite": True}').run(GENERATE)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 gate is loosened by its test: * allows NaN and infinity in [*]"])


def test_a_gate_that_stays_keeps_its_reason(gate):
    """Baselines are written anew for another cause, and without one."""
    project = gate(rate=0.11)
    project.run(GENERATE, "--training-reason=a larger rate", passed=1)
    baseline = Baseline.from_text(project.files()[RECORD].decode())

    assert (baseline.gate.reason, baseline.origin["reason"]) == ("few images", "a larger rate")
    assert baseline.record.streams["learning_rate/weight"].values[0] == 0.11


@pytest.mark.parametrize(
    ("given", "now"),
    [
        ("{}", "it loosens nothing"),
        (GIVEN.replace('["loss"]', "True"), "it ignores * and allows NaN and infinity in [*]"),
    ],
)
def test_a_gate_that_is_not_its_baselines_is_refused(gate, given, now):
    """Whoever changes a test loosens nothing alone: the baseline changes with it, under a reason."""
    result = gate(given).run()

    result.assert_outcomes(failed=1)
    lines = [f"the test loosens its gate otherwise than when its baseline was made: {now}*, the baseline {WORDS}*"]
    result.stdout.fnmatch_lines([*lines, "  where  baselines/*.json", '*--training-reason="..."'])


def test_a_result_keeps_the_gate_that_it_was_judged_by(gate, monkeypatch):
    """`harness accept` replaces numbers; the record that is kept holds what was not compared, too."""
    project = gate(rate=0.11, accuracy=0.25)
    project.run(failed=1)
    monkeypatch.chdir(project.path)

    assert main(["accept", "--reason", "a larger rate"]) == 0
    baseline = Baseline.from_text(project.files()[RECORD].decode())
    assert (baseline.gate.reason, baseline.origin["reason"]) == ("few images", "a larger rate")
    assert baseline.record.streams["evaluation/accuracy"].values == (0.25,)
    project.run(passed=1)


def test_the_first_baseline_of_a_loosened_gate_is_written_by_its_training(program, monkeypatch, capsys):
    """A result alone does not hold the gate."""
    project = program()
    project.run(failed=1)
    monkeypatch.chdir(project.path)

    assert main(["accept", "--reason", "few images"]) == 2
    assert "its test loosens its gate, which only a training writes, with --training-reason" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ('{"ignore": ["evaluation/acc"]}', "ignore=[[]'evaluation/acc'[]] fits no stream of the record"),
        ('{"ignore": ["*"]}', "the test ignores all that its training did"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(program, given, line):
    """Before anything is compared or written, with a baseline or without."""
    result = program(given).run(GENERATE, REASON)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([line, "  where  *", "  fix    *"])


@pytest.mark.long
def test_values_that_are_never_the_same_may_be_ignored(program, measured_thresholds):
    """A number that depends on the clock keeps no baseline from being calibrated, and no training from being judged."""
    project = program(poisoned=9, accuracy="__import__('time').time()", given=GIVEN.replace('["loss"]', "[]"))
    project.run(GENERATE, REASON, passed=1).stdout.fnmatch_lines(
        ["skipper, float64, cpu: thresholds 30 x the largest deviation *"]
    )
    project.run(passed=1)


def test_trainings_that_run_again_are_judged_without_what_is_ignored():
    """The short form: where they are compared with the first, neither has it."""
    first, again = (record_of({"loss": series(1.0), "evaluation/accuracy": series(value)}) for value in (0.25, 0.5))
    session = Mock(launched=0, reruns=Mock(run=Mock(return_value=Reran(again, (True, "")))))
    session.trainings.of.return_value, session.workers.room = None, lambda device: contextlib.nullcontext()
    checked = RecordCheck(Mock(session=session), first, "", gate=Gate(ignore=("evaluation/*",)))

    assert checked.rerun(Rerun("no change")).record.streams == checked.judged.streams != first.streams
