"""Promises of `harness accept`: from red to green without training again, and no way to accept what should not be."""

import dataclasses
import json
import shutil

import pytest

from harness.baselines import png
from harness.baselines.failed import digest
from harness.baselines.store import save_baseline
from harness.commands import main
from harness.comparing.metrics import summary
from harness.record import Baseline
from tests.plugin.conftest import GENERATE
from tests.plugin.test_life_of_a_baseline import FIGURE, RECORD, nan_model
from tests.projects import SMALL


FAILED = "build/harness/failed"


_RED = {}
"""Files of the red project by name: it is trained for the first test, and copied for the others."""


@pytest.fixture
def red(project):
    """A project whose training, and so its figure, changed after its baselines were made."""
    if not _RED:
        project.generate()
        project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
        project.run("--mpl", failed=2)
        places = [project.path / "test_gate.py", *project.baselines.iterdir(), *(project.path / FAILED).iterdir()]
        _RED.update({path.relative_to(project.path): path.read_bytes() for path in places})
    for name, data in _RED.items():
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_bytes(data)
    return project


def accept(*names, reason="a larger rate learns faster"):
    """Run the command; return its exit status."""
    return main(["accept", *names, "--reason", reason])


def test_from_red_to_green_in_one_command_without_training(red, capsys):
    """All that failed becomes the baseline, with a table for the pull request; afterwards nothing is left to accept."""
    assert accept() == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[:4] == [
        "Baselines accepted: a larger rate learns faster",
        "",
        "| baseline | how it differs from the former one | measured at commit | made from |",
        "|---|---|---|---|",
    ]
    figure, record = (
        f"| <code>baselines/{file.replace('_', '&#95;').replace('-', '&#45;')}" for file in (FIGURE, RECORD)
    )
    assert lines[4].startswith(f"{figure}</code> | <code>the figure differs, RMS ")
    assert lines[5].startswith(f"{record}</code> | <code>from the start&#58; structure, learning&#95;rate of ")
    assert lines[5].endswith(" |  | <code>1 file of the project</code> |")
    red.run("--mpl", passed=2)
    assert accept() == 2
    assert capsys.readouterr().err.startswith("no result of a failed comparison is kept here\n")


def test_a_first_run_without_baselines_can_be_accepted(project, capsys):
    """Its record and figure become them: a line in each failure, and one for all; afterwards it is green."""
    result = project.run("--mpl", failed=2)

    record, figure = (
        f'harness accept test_gate-{name} --reason "..."' for name in ("test_training", "test_loss_curve")
    )
    result.stdout.fnmatch_lines(
        [
            f"  fix    pytest * --mpl-generate-path=baselines; or, with the numbers of this run: {record}",
            f"  fix    pytest * --mpl-generate-path=baselines; or, with the picture of this run: {figure}",
            'accept all 2: harness accept --reason "..."',
        ]
    )
    assert main(["accept", "--no-training", "--reason", "the first ones"]) == 0
    assert capsys.readouterr().out.count("<code>it is the first one</code>") == 2
    project.run("--mpl", passed=2)


STATEFUL = """
import torch
from harness import Recorder

def test_own(training_regression):
    with Recorder(states=training_regression.states()) as recorder:
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        loss = model(torch.ones(2, 2)).sum()
        recorder.log(loss=loss)
        loss.backward()
        optimizer.step()
    training_regression.check(recorder.record)
"""


def test_a_first_baseline_with_states_takes_a_training(project, capsys):
    """No line offers what would be refused."""
    project.write(test_gate=STATEFUL)
    result = project.run()

    result.stdout.fnmatch_lines(["  fix    pytest test_gate.py::test_own --mpl-generate-path=baselines"])
    assert main(["accept", "--reason", "why"]) == 2
    assert "is no whole baseline: its states and thresholds are made while it trains" in capsys.readouterr().err


def test_accepted_numbers_are_those_that_a_generation_writes(red):
    """The accepted record is the regenerated one, but for where it comes from."""
    accept()
    accepted = Baseline.from_text((red.baselines / RECORD).read_text())
    pixels = png.plain((red.baselines / FIGURE).read_bytes())
    for path in red.baselines.glob("*"):
        path.unlink()
    red.generate()

    assert Baseline.from_text((red.baselines / RECORD).read_text()).record == accepted.record
    assert png.plain((red.baselines / FIGURE).read_bytes()) == pixels
    assert accepted.origin["reason"] == "a larger rate learns faster"


@pytest.mark.parametrize("name", ["test_gate-test_training", "test_gate.py::test_training[cpu]", f"{FAILED}/{RECORD}"])
def test_one_baseline_is_accepted_by_name_test_or_path(red, name):
    """The others stay as they were, and can still be accepted."""
    before = red.files()
    accept(name)
    after = red.files()

    assert after[FIGURE] == before[FIGURE]
    assert after[RECORD] != before[RECORD]
    assert accept("test_gate-test_loss_curve") == 0


def test_an_unknown_name_changes_nothing(red, capsys):
    """The message gives those that are near it, the nearest first."""
    before = red.files()

    assert accept("test_gate-test_training", "test_gate-test_trianing") == 2
    assert red.files() == before
    assert capsys.readouterr().err.endswith("fix    use one of test_gate-test_training, test_gate-test_loss_curve\n")


@pytest.mark.parametrize("reason", ["", "  ", "..."])
def test_a_reason_is_not_optional(red, reason, capsys):
    """The placeholder of the printed line is none."""
    before = red.files()

    assert accept(reason=reason) == 2
    assert red.files() == before
    assert capsys.readouterr().err.startswith("a baseline does not change without a reason\n")


def refusal(red, capsys, *lines):
    """Try to accept the record; nothing changes, and the message has these lines."""
    before = red.files()

    assert accept("test_gate-test_training") == 2
    assert red.files() == before
    error = capsys.readouterr().err
    for line in lines:
        assert line in error
    assert "Traceback" not in error


def test_a_result_of_other_sources_is_stale(red, capsys):
    """The code changed after the comparison: its numbers are no longer those."""
    red.edit("0.06", "0.07")
    refusal(red, capsys, "the result for test_gate-test_training is stale: test_gate.py changed after the comparison")


SERVED = """
import os, torch

def test_second(training, training_regression):
    training_regression.check(training(RECIPE), sources=["config.txt"])

def test_patched(training, training_regression, monkeypatch):
    if "PATCHED" in os.environ:
        monkeypatch.setattr(torch.nn.functional, "relu", torch.sigmoid)
    training_regression.check(training(RECIPE))
"""


def test_a_recipe_is_served_only_by_the_same_code_and_says_so_where_it_fails(project, capsys, monkeypatch):
    """The test that it was trained for is named; a test that patches torch has a training of its own.

    What a test names as a source makes its result stale, and no other's.
    """
    project.measures_nothing()
    (project.path / "config.txt").write_text("a")
    (project.path / "test_gate.py").write_text(SMALL + "def test_first(training):\n    training(RECIPE)\n" + SERVED)
    project.run(GENERATE).stdout.fnmatch_lines(["1 training in *", "0 compared * 2 generated, *"])
    monkeypatch.setenv("PATCHED", "1")
    project.run(passed=2, failed=1)
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    result = project.run(passed=1, failed=2)

    result.stdout.fnmatch_lines(["  trained    by test_gate.py::test_first[[]cpu[]]", "2 trainings in *"])
    assert result.stdout.str().count("  trained  ") == 1
    (project.path / "config.txt").write_text("b")
    assert accept("test_gate-test_second") == 2
    assert "is stale: config.txt changed after the comparison" in capsys.readouterr().err
    assert accept("test_gate-test_patched") == 0


def test_a_result_for_another_baseline_is_stale(red, capsys):
    """The baseline was regenerated, pulled or restored since."""
    path = red.baselines / RECORD
    path.write_text(path.read_text() + "\n")
    refusal(red, capsys, "is stale: its baseline changed after the comparison")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "it is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:999]), "it is not what the failed comparison left there"),
    ],
    ids=["gone", "cut off"],
)
def test_an_incomplete_result_is_refused(red, capsys, damage, words):
    """A result is accepted as it was compared, or not at all."""
    damage(red.path / FAILED / RECORD)
    refusal(red, capsys, f"the result cannot be accepted: {words}", "fix    run the test again, or train anew: pytest ")


def test_what_only_a_training_can_make_is_refused(red, capsys):
    """A baseline that holds other seeds, or states, is made by training: that command is printed at once."""
    baseline = Baseline.from_text((red.baselines / RECORD).read_text())
    seeds = {0: summary(baseline.record), 1: {"loss": 2.1}}
    save_baseline(red.baselines / RECORD, dataclasses.replace(baseline, seeds=seeds))
    command = "pytest 'test_gate.py::test_training[cpu]' --mpl-generate-path=baselines"
    result = red.run("-k", "test_training")

    assert f"  accept     {command}" in result.outlines
    refusal(
        red,
        capsys,
        "the result for test_gate-test_training is no whole baseline: it holds the summaries of 2 seeds",
        f"  fix    {command}",
    )


def test_nan_is_refused(project, capsys):
    """A run into NaN is red, and stays red."""
    nan_model(project)
    project.edit("> 4", "> 99")
    project.generate()
    project.edit("> 99", "> 4")
    project.run("--mpl")
    refusal(project, capsys, "loss is nan at step 2 (forward)")


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        (
            "baseline",
            "../test_gate-test_training.json",
            "was compared with a baseline in .., and this project's are in",
        ),
        ("baseline", "/tmp/other.json", "it speaks of 'other.json'"),
        ("baseline", f"a\x00/{RECORD}", r"was compared with a baseline in a\x00,"),
        ("baseline", f"{'a' * 5000}/{RECORD}", "test_gate-test_training"),
        ("sources", {"\x00": ""}, "changed after the comparison"),
        ("sources", [], "Expected `object`, got `array` - at `$.sources`"),
        ("test", 5, "Expected `str`, got `int` - at `$.test`"),
        ("test", "-pevil", "Expected `str` matching regex '^[^-@]' - at `$.test`"),
        ("options", ["--basetemp=/"], "Expected `str` matching regex"),
        ("unknown", "x", "Object contains unknown field `unknown`"),
    ],
)
def test_a_hostile_note_is_a_message(red, capsys, entry, value, words):
    """Artifacts come from anywhere: nothing outside the project is written, nothing ends in a traceback."""
    note = red.path / FAILED / f"{RECORD}.candidate"
    note.write_text(json.dumps({**json.loads(note.read_text()), entry: value}))
    refusal(red, capsys, words)
    assert not (red.path.parent / RECORD).exists()


def test_a_result_that_is_no_picture_is_refused(red, capsys):
    """Though its digest fits."""
    before, result = red.files(), b"no picture"
    note = red.path / FAILED / f"{FIGURE}.candidate"
    (red.path / FAILED / FIGURE).write_bytes(result)
    note.write_text(json.dumps({**json.loads(note.read_text()), "result": digest(result)}))

    assert accept("test_gate-test_loss_curve") == 2
    assert "the result cannot be accepted: it is not a PNG" in capsys.readouterr().err
    assert red.files() == before


def test_a_run_that_passes_forgets_the_former_result(red, capsys):
    """Only what the last run of a test left can be accepted; tests that did not run keep theirs."""
    red.edit("learning_rate=0.06", "learning_rate=0.25")
    red.run("-k", "test_training", passed=1, deselected=1)

    assert accept("test_gate-test_training") == 2
    assert capsys.readouterr().err.endswith("fix    use one of test_gate-test_loss_curve\n")


def test_an_interrupted_accept_can_be_repeated(red):
    """Killed between the baseline's rename and the end: the next time says the same and leaves the baseline."""
    kept = {path: path.read_bytes() for path in (red.path / FAILED).iterdir()}
    accept()
    accepted = red.files()
    for path, data in kept.items():
        path.write_bytes(data)

    assert accept() == 0
    assert red.files() == accepted


def test_results_are_accepted_on_another_checkout_of_the_same_sources(red, tmp_path, capsys):
    """As an artifact of CI is, wherever the folder is and whenever its files were written; of others it is stale."""
    for name in ("baselines", FAILED):
        shutil.copytree(red.path / name, tmp_path / "clone" / name)
    shutil.copy(red.path / "test_gate.py", tmp_path / "clone")
    command = ["accept", "--reason=why", "--root", str(tmp_path / "clone")]
    (tmp_path / "clone" / "test_gate.py").write_text((red.path / "test_gate.py").read_text() + "\n")
    assert main(command) == 2
    assert capsys.readouterr().err.count("is stale: test_gate.py changed after the comparison") == 2
    shutil.copy(red.path / "test_gate.py", tmp_path / "clone")

    assert main(command) == 0
    accepted = Baseline.from_text((tmp_path / "clone" / "baselines" / RECORD).read_text())
    assert accepted.origin["reason"] == "why"
    assert accepted.record.recipe["learning_rate"] == 0.06


def test_a_failure_says_when_and_why_its_baseline_was_made(red):
    """After an accept, the next failure quotes its reason."""
    accept()
    red.edit("0.06", "0.07")
    result = red.run("test_gate.py::test_training")

    result.stdout.fnmatch_lines(["  made       20??-??-?? ??:?? UTC, a larger rate learns faster"])


def test_generating_forgets_the_former_result(red, capsys):
    """What was regenerated has nothing to accept."""
    red.run(GENERATE, "-k", "test_training")

    assert accept("test_gate-test_training") == 2
    assert "use one of test_gate-test_loss_curve" in capsys.readouterr().err
