"""Promises of the thresholds that a float64 training measures itself when it becomes a baseline."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from harness.comparing import thresholds, variants
from harness.plugin import session
from harness.record import Baseline
from harness.recording.perturbation import Perturbation, perturbed
from tests.plugin.conftest import GENERATE


pytestmark = pytest.mark.usefixtures("measured_thresholds")

LOOP = """
import torch
from torch.nn import BatchNorm1d, Linear, ReLU, Sequential
from torch.nn import functional as F
from harness import Recorder

RATE, STEPS = 0.05, 6

def test_loop(training_regression):
    with Recorder(precision="float64", seed=0) as recorder:
        hidden = [Linear(6, 16), BatchNorm1d(16), ReLU(), Linear(16, 16), BatchNorm1d(16), ReLU()]
        model = Sequential(*hidden, Linear(16, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
        recorder.watch(model, optimizer)
        x, y = torch.randn(32, 6), torch.randint(3, (32,))
        for step in range(STEPS):
            i = torch.randperm(32)[:8]
            recorder.batch(x[i], y[i])
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[i]), y[i])
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    training_regression.check(recorder.record)
"""
FILE = "test_loop-test_loop.json"


@pytest.fixture
def loop(project):
    """A project with one watched loop."""
    (project.path / "test_gate.py").unlink()
    project.write(test_loop=LOOP)
    return project


@pytest.fixture
def one_draw(monkeypatch):
    """One training more where one tells as much as four."""
    monkeypatch.setattr(variants, "DRAWS", variants.DRAWS[:1])
    for name in ("require_repeatable", "require_same"):
        monkeypatch.setattr(f"harness.comparing.calibrating.{name}", lambda record, rerun, states=None: None)


@pytest.fixture
def wild(loop):
    """One whose rate is so high that rounding grows beyond all measure."""
    loop.edit("RATE, STEPS = 0.05, 6", "RATE, STEPS = 4.0, 50", "test_loop.py")
    return loop


@pytest.fixture
def here(loop, monkeypatch):
    """That project's folder; the pytest that a command starts runs in this process."""
    monkeypatch.chdir(loop.path)

    def run(command, cwd, check):
        assert (command[:3], Path(cwd).resolve(), check) == ([sys.executable, "-m", "pytest"], loop.path, False)
        return subprocess.CompletedProcess(command, loop.run(*command[3:]).ret)

    monkeypatch.setattr("harness.commands.verify.subprocess", SimpleNamespace(run=run))
    return loop


def stored(project, file=FILE):
    """The baseline of a project."""
    return Baseline.from_text((project.baselines / file).read_text())


def rewrite(project, **changes):
    """Write the baseline anew with another calibration, checksum and all, as whoever loosens it would."""
    baseline = stored(project)
    loose = msgspec.structs.replace(baseline.calibration, **changes)
    (project.baselines / FILE).write_text(dataclasses.replace(baseline, calibration=loose).to_text())


def test_generating_measures_and_says_so(loop):
    """Three draws of rounding, by kind of number and step; a few kilobytes."""
    loop.run(GENERATE, passed=1).stdout.fnmatch_lines(
        ["training, float64, cpu: thresholds 30 x the largest deviation (*e-1*) with 3 draws of rounding   test_*"]
    )
    calibration = stored(loop).calibration
    assert calibration.variants == tuple(draw.text for draw in variants.DRAWS)
    assert {"gradient", "update", "weight"} <= calibration.largest.keys()
    assert all(0 <= size < 1e-12 for sizes in calibration.largest.values() for size in sizes)
    assert (calibration.states, calibration.inherited) == ("", False)
    assert len(json.dumps(calibration.largest)) < 3000


@pytest.mark.long
def test_measuring_again_shows_the_same(loop):
    """Draws of rounding are seeded: a baseline that is generated anew is the old one."""
    before = loop.generate()
    assert loop.run(GENERATE).ret == 0
    assert loop.files() == before


@pytest.mark.long
def test_rounding_elsewhere_is_no_alarm_and_the_margin_is_said(loop):
    """Other kernels and a draw that was not measured: far below thresholds that are a hundred times below 1e-10."""
    loop.generate()
    with perturbed(Perturbation(jitter=7, other_layout=True, onednn=False)):
        result = loop.run()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["margins of what passed: deviation *e-1*, at most * % of a threshold"])


@pytest.mark.long
def test_a_fault_that_one_threshold_for_all_would_pass_is_red_with_its_threshold(loop):
    """A momentum off by 1e-12 of its size: the message says what it was held against, and where that comes from."""
    loop.generate()
    loop.edit("momentum=0.9", "momentum=0.9 * (1 + 1e-12)", "test_loop.py")
    loop.run(failed=1).stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 1 on: update, update of *",
            "  first      step 1   baseline *   now *   (*e-13, threshold *e-1*)",
            "  threshold  *3 draws of rounding*",
        ]
    )


def test_a_measured_threshold_stands_in_the_message(one_draw, wild):
    """Margin, measured size, and with what."""
    wild.generate()
    wild.edit("recorder.log(loss=loss)", "recorder.log(loss=loss * (1 + (step == 30) * 1e-4))", "test_loop.py")
    wild.run(failed=1).stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 30 on: forward, loss",
            "  threshold  30 x *e-*, the largest up to this step with 1 draw of rounding",
        ]
    )


@pytest.mark.long
def test_what_rounding_moves_too_far_is_named_when_it_is_written_and_when_it_is_compared(wild):
    """From which step on, and what would help; the numbers before it are still judged."""
    dull = "*; from step * on rounding alone moves * too far to be judged*: fewer steps, a lower rate or stored states*"
    wild.run(GENERATE).stdout.fnmatch_lines([dull])
    wild.run().stdout.fnmatch_lines([dull])
    wild.edit("optimizer.step()", "optimizer.step() if step < 46 else None", "test_loop.py")
    late = wild.run()

    late.assert_outcomes(failed=1)  # a number that is missing is no rounding, however late
    wild.edit("RATE, STEPS = 4.0", "RATE, STEPS = 4.0 * (1 + 1e-9)", "test_loop.py")
    wild.run(failed=1)


def test_what_moves_where_nothing_is_judged_passes_counted_and_fails_under_strict(one_draw, wild, monkeypatch):
    """A loss twice as large in the last step, which no finite number could have failed."""
    monkeypatch.setattr(thresholds, "DULL", 1e-9)  # what one draw reaches
    wild.generate()
    wild.edit("recorder.log(loss=loss)", "recorder.log(loss=loss * (1 + (step == 49)))", "test_loop.py")
    lenient, strict = wild.run(), wild.run("--training-strict")
    why = (
        "from step * on rounding alone moves * too far to be judged*: fewer steps, a lower rate or stored states * help"
    )

    lenient.assert_outcomes(passed=1)
    lenient.stdout.fnmatch_lines(
        [
            "1 compared (1 record, 0 figures, 1 not judged), 0 generated, 0 not compared",
            f"training, float64, cpu: not judged, 1 value moved by up to *, which nothing could have failed*; {why}",
        ]
    )
    strict.assert_outcomes(failed=1)
    strict.stdout.fnmatch_lines(
        [
            "training is not judged from step 49 on: forward, loss",
            "  first      step 49   baseline *   now *   (*, which nothing could have failed)",
            "  then       1 of * values in 1 of * streams",
            "  unchanged  structure, data, init, schedule",
            f"  unjudged   {why}",
            '  accept     harness accept test_loop-test_loop --reason "..."',
        ]
    )


@pytest.mark.long
def test_stored_states_put_a_float64_loop_back(one_draw, wild):
    """From state to state rounding has no time to grow: everything is judged."""
    wild.edit("seed=0)", "seed=0, states=training_regression.states())", "test_loop.py")
    wild.run(GENERATE, passed=1).stdout.fnmatch_lines(
        ["training, float64, cpu: * states stored, thresholds 30 x * with * of rounding *"]
    )
    wild.run(passed=1).stdout.no_fnmatch_line("*too far to be judged*")
    wild.edit("optimizer.step()", "optimizer.step() if step != 40 else None", "test_loop.py")
    wild.run(failed=1)


@pytest.mark.long
def test_a_recipe_that_goes_wild_is_put_back_on_states_of_its_own(one_draw, project, monkeypatch):
    """Nothing has to be asked for: its states are stored beside the baseline, and it is judged to the end."""
    monkeypatch.setattr("harness.comparing.thresholds.DULL", 3e-14)  # so that the tame one of these tests is wild
    monkeypatch.setitem(thresholds.FLOORS, "float64", 1e-15)
    result = project.run(GENERATE)

    result.stdout.fnmatch_lines(["*, float64, cpu: * states stored, thresholds 30 x * with * of rounding*"])
    assert [name for name in project.files() if name.endswith(".safetensors")]
    monkeypatch.setattr("harness.comparing.thresholds.THRESHOLD", 1e-16)  # what a training that runs free has to keep
    monkeypatch.setitem(thresholds.FLOORS, "float64", 1e-14)  # above what other kernels do in one step
    begin, other = session.in_force, Perturbation(other_layout=True)
    monkeypatch.setattr(session, "in_force", lambda how, *rest: begin(other, *rest))  # whatever is run again, likewise
    with perturbed(other):
        again = project.run("-k", "test_training")
    again.assert_outcomes(passed=1, deselected=1)
    again.stdout.fnmatch_lines(["training cifar_cnn, put back on stored states: *"])


def test_a_draw_that_nobody_seeded_is_named_and_nothing_is_written(loop):
    """The training is run once more as it is, with another hash seed; if it is another, who drew is said."""
    loop.edit("STEPS = 0.05, 6", "STEPS = 0.05, 6\nimport numpy as np\nrng = np.random.default_rng()", "test_loop.py")
    loop.edit("recorder.log(loss=loss)", "recorder.log(loss=loss, noise=rng.random())", "test_loop.py")
    loop.run(GENERATE, failed=1).stdout.fnmatch_lines(
        [
            "this training, run again without any change, is another from step 0 on: forward, noise",
            "  where  test_loop.py:*: numpy.random.default_rng() without a seed",
            "  fix    draw all its random numbers inside the `with Recorder(...)` block*",
        ]
    )
    assert not loop.files()


def test_the_order_of_a_set_is_found_out(loop):
    """It is another one in another process."""
    words = "names = {str(number) for number in range(99)}"
    loop.edit("RATE, STEPS = 0.05, 6", f"RATE, STEPS = 0.05, 6\n{words}", "test_loop.py")
    loop.edit("recorder.log(loss=loss)", "recorder.log(loss=loss, first=int(list(names)[0]))", "test_loop.py")

    loop.run(GENERATE).stdout.fnmatch_lines(
        ["this training, run again without any change, is another*forward, first", "  where  no draw without a seed*"]
    )


@pytest.mark.long
def test_a_record_that_comes_from_elsewhere_has_the_usual_threshold(one_draw, loop):
    """What is read from a file does not follow jitter, and a note says that it was not measured."""
    loop.generate()
    (loop.path / "record.json").write_text(stored(loop).record.to_text())
    reads = "training_regression.check(Record.from_text(Path('record.json').read_text()))"
    head = "from pathlib import Path\nfrom harness import Record\n\n"
    loop.write(test_loop=f"{head}def test_loop(training_regression):\n    {reads}\n")
    result = loop.run(GENERATE, passed=1)

    note = "thresholds not measured, since it cannot be run again from outside: 1e-10   test_loop.py::test_loop"
    result.stdout.fnmatch_lines([f"training, float64, cpu: {note}"])
    assert stored(loop).calibration is None


@pytest.mark.long
def test_an_accepted_result_inherits_thresholds_until_they_are_verified(one_draw, loop):
    """Accepting trains nothing; verifying measures, and writes what it measured."""
    from harness.commands import main

    loop.generate()
    loop.edit("RATE, STEPS = 0.05", "RATE, STEPS = 0.06", "test_loop.py")
    loop.run(failed=1)
    measured = stored(loop).calibration.largest
    assert main(["accept", "--reason", "a higher rate", "--root", str(loop.path)]) == 0
    inherited = stored(loop).calibration

    assert (inherited.inherited, inherited.largest) == (True, measured)
    loop.run("--training-verify", passed=1)
    verified = stored(loop).calibration
    assert not verified.inherited
    assert verified.largest != measured
    loop.run("--training-verify", passed=1)


def test_thresholds_that_somebody_loosened_are_refused(one_draw, loop):
    """In the session they pass; measured again, they stand out."""
    loop.generate()
    rewrite(loop, largest={"loss": (1e-9,)})

    loop.run(passed=1)
    loop.run("--training-verify", failed=1).stdout.fnmatch_lines(
        [
            "the thresholds of this baseline are far above what its training shows: *, step 0",
            "  where  baselines/test_loop-test_loop.json: *, measured again * with 1 draw of rounding",
            "  fix    regenerate it, and look at who loosened it and why: pytest test_loop.py::test_loop *",
        ]
    )


@pytest.mark.long
def test_generating_in_ci_reports_thresholds_that_were_loosened(one_draw, loop, monkeypatch):
    """The baseline is written as it was measured, and the session is red."""
    loop.generate()
    monkeypatch.setenv("CI", "true")
    far, never = "are far above what its training shows: loss, step 0", "cannot have shown: rounding that moves every *"
    for size, text in ((1e-9, f"the thresholds of this baseline {far}"), (0.5, f"the baseline holds what * {never}")):
        rewrite(loop, largest={"loss": (size,)})
        result = loop.run(GENERATE)

        assert result.ret == 1
        result.stdout.fnmatch_lines([text])
        assert stored(loop).calibration.largest.get("loss", (0.0,))[0] < 1e-12


def test_strict_says_how_many_trainings_are_judged_loosely(one_draw, wild):
    """One line, that a reviewer reads."""
    wild.generate()

    wild.run("--training-strict").stdout.fnmatch_lines(["1 of 1 training with thresholds above 1e-09"])


@pytest.mark.long
def test_a_wild_training_that_is_red_has_pictures_and_a_page(one_draw, real_pictures, wild):
    """What is not judged is white in the figure of deviations, and no number of the page."""
    wild.generate()
    wild.edit("RATE, STEPS = 4.0", "RATE, STEPS = 4.0 * (1 + 1e-9)", "test_loop.py")
    wild.run(failed=1)

    found = json.loads((wild.path / "build/harness/results.json").read_text())["results"][0]["subject"]
    assert all(threshold <= 1e-6 for threshold in found["profile"]["thresholds"])
    assert (wild.path / "build/harness/report.html").exists()
    assert (wild.path / "build/harness/pictures/test_loop-test_loop-cpu/deviations.png").stat().st_size > 10_000


def test_diff_says_that_thresholds_became_far_wider(one_draw, loop, monkeypatch, capsys):
    """Whoever reviews a pull request of baselines has to know."""
    from harness.commands import main

    loop.generate()
    shutil.copytree(loop.baselines, loop.path / "former")
    rewrite(loop, largest={"loss": (0.0, 1e-9)})
    monkeypatch.chdir(loop.path)

    assert main(["diff", "former", "baselines"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("  thresholds are far wider: loss, step 1, 3.0e-08, formerly 1")


def test_doctor_verifies(one_draw, here, capsys):
    """In one command, with pytest's words and an exit status."""
    from harness.commands import main

    here.generate()
    assert main(["doctor", "--verify", "--root", "."]) == 0
    rewrite(here, largest={"loss": (1e-9,)})

    assert main(["doctor", "--verify", "--root", ".", "--baselines", "baselines"]) == 1
    assert "the thresholds of this baseline are far above what its training shows" in capsys.readouterr().out


@pytest.mark.long
def test_a_result_of_another_structure_is_measured_when_it_is_accepted(one_draw, here, capsys):
    """It says so; with --no-training it says what remains to be done."""
    from harness.commands import main

    here.generate()
    here.edit("Linear(16, 3)", "Linear(16, 3, bias=False)", "test_loop.py")
    here.run(failed=1)
    kept = {path: path.read_bytes() for path in (here.path / "build/harness/failed").iterdir()}
    before = (here.baselines / FILE).read_bytes()
    accept = ["accept", "--reason", "no bias"]

    assert main([*accept, "--no-training"]) == 0
    assert "thresholds have to be measured: harness doctor --verify: test_loop-test_loop" in capsys.readouterr().out
    assert stored(here).calibration is None
    (here.baselines / FILE).write_bytes(before)
    for path, data in kept.items():
        path.write_bytes(data)
    assert main(accept) == 0
    assert "thresholds are measured now: test_loop-test_loop" in capsys.readouterr().out
    assert stored(here).calibration.largest
    assert stored(here).origin["reason"] == "no bias"


def test_initial_weights_that_differ_in_their_last_digits_are_a_note(one_draw, loop):
    """No norm shows them, and they may be right; who changed them reads it."""
    loop.generate()
    moved = "model[0].bias.data[0] = torch.nextafter(model[0].bias.data[0], torch.ones(()))"
    loop.edit("Linear(16, 3))", f"Linear(16, 3))\n        {moved}", "test_loop.py")
    loop.run(passed=1).stdout.fnmatch_lines(
        ["training, float64, cpu: same, *; the initial weights differ in their last digits"]
    )
