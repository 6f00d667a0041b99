"""Promises of safety: what is written, what is left alone, what a killed or a second run does."""

import dataclasses
import random
import shutil
import signal
import subprocess
import sys

import pytest

from harness.atomic_files import SCRAP
from harness.baselines import png
from harness.baselines.store import load_baseline, save_baseline
from harness.elsewhere.sharing import own_folder
from harness.record import Baseline
from tests.plugin.conftest import GENERATE
from tests.plugin.test_accept import FAILED
from tests.plugin.test_life_of_a_baseline import FIGURE, RECORD
from tests.test_record import record_of


CHECK = "import pytest\n\ndef test_a(training_regression):\n    pytest.fail('must not run')\n"


def test_only_missing_writes_only_what_is_missing(project):
    """Tests that have their baselines do not run; those baselines keep their bytes."""
    before = project.generate()
    project.write(test_other=(project.path / "test_gate.py").read_text())
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    project.run(GENERATE, "--training-generate=missing", passed=2, deselected=2)

    after = project.files()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {name.replace("gate", "other", 1) for name in before}


def test_only_missing_leaves_the_other_file_of_a_test_alone(project):
    """A test with a record and a figure, of which one is there."""
    project.edit("def test_loss_curve(record):", "def test_loss_curve(record, training_regression):")
    project.edit("    return figures", "    training_regression.check(record)\n    return figures")
    project.generate()
    (project.baselines / FIGURE).unlink()
    before = project.files()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    project.run(GENERATE, "--training-generate=missing", passed=1, deselected=1)

    after = project.files()
    assert set(after) - set(before) == {FIGURE}
    assert {name: after[name] for name in before} == before


def test_only_failing_writes_what_differed_last_time(project):
    """The record that differed is regenerated; a figure that was never compared is not."""
    before = project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    project.run("--mpl", "-k", "test_training", failed=1, deselected=1)
    project.run(GENERATE, "--training-generate=failing", passed=1, deselected=1)

    assert project.files()[FIGURE] == before[FIGURE]
    assert project.files()[RECORD] != before[RECORD]
    assert not list((project.path / FAILED).iterdir())
    assert project.run(GENERATE, "--training-generate=failing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    "option", ["--training-generate=missing", "--training-generate=failing", "--training-reason=why"]
)
def test_choosing_what_to_write_needs_writing(project, option):
    """In a comparing run the option is refused."""
    (project.path / "test_gate.py").write_text(CHECK)
    result = project.run("--mpl", option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    option = option.partition("=")[0]
    result.stderr.fnmatch_lines([f"ERROR: {option} is about baselines that are written, and none are"])


def test_baselines_keep_the_reason_that_they_are_written_for(project):
    """Record and figure say it, as after `harness accept`; the next failure quotes it."""
    project.generate("--training-reason=a wider model")
    baseline = Baseline.from_text(project.files()[RECORD].decode())

    assert baseline.origin["reason"] == png.annotations(project.files()[FIGURE])["reason"] == "a wider model"
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    project.run("-k", "test_training").stdout.fnmatch_lines(["  made       20??-??-?? ??:?? UTC, a wider model"])


@pytest.mark.parametrize("reason", ["", "..."])
def test_a_reason_has_words(project, reason):
    """The placeholder that messages print is none; nothing is trained."""
    result = project.run(GENERATE, f"--training-reason={reason}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: a baseline does not change without a reason", "  where  --training-reason"])


@pytest.mark.parametrize("option", ["--training-ci", "--training-strict"])
def test_orphans_are_red_in_ci_and_under_strict(project, option):
    """A baseline that no test claims is said, and there its test may be collected no more; elsewhere it may be new."""
    (project.path / "test_gate.py").write_text("def test_a(training_regression):\n    pass\n")
    save_baseline(project.baselines / "old.json", Baseline(record_of({})))

    assert project.run("--mpl").ret == pytest.ExitCode.OK
    result = project.run("--mpl", option)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["1 baseline in baselines that no test claims", "  where  old.json"])


def test_the_last_gated_test_is_missed_without_an_ini_option_too(project):
    """A record's baseline tells that the project is gated; JSON of the project's own does not, and nothing is said."""
    (project.path / "test_gate.py").write_text("def test_a():\n    pass\n")
    project.baselines.mkdir()
    (project.baselines / "own.json").write_text('{"format": 1, "rows": []}')
    result = project.run("--mpl", "--training-ci")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*training regression =*")

    save_baseline(project.baselines / "old.json", Baseline(record_of({})))
    result = project.run("--mpl", "--training-ci")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["2 baselines in baselines that no test claims", "  where  old.json, own.json"])


def test_what_a_killed_run_left_is_said(project):
    """The next run names it."""
    (project.path / "test_gate.py").write_text("def test_a(training_regression):\n    pass\n")
    project.baselines.mkdir()
    (project.baselines / f".a.json.x{SCRAP}").touch()

    project.run("--mpl").stdout.fnmatch_lines(
        [
            "1 unfinished file in baselines, of a run that was killed or is under way; the baselines are whole*",
            f"  .a.json.x{SCRAP}",
        ]
    )


@pytest.mark.parametrize("name", ["figures", "tensorboard"])
def test_two_sessions_at_once_do_not_share_what_is_looked_at(project, name):
    """While another session holds the folder, pictures and event files stand in one of their own."""
    before = project.generate()
    other = []
    theirs = own_folder(project.path / "build" / "harness" / name, other.append)
    shutil.rmtree(theirs, ignore_errors=True)
    project.run("--mpl", passed=2)
    mine = [path.name for path in theirs.parent.glob(f"{name}-*")]
    for close in other:
        close()

    assert len(mine) == 1
    assert not theirs.exists()
    project.run("--mpl", passed=2)
    assert theirs.exists()
    assert project.files() == before


WRITER = """
import itertools, sys
from pathlib import Path
from msgspec.structs import replace
from harness.baselines.store import save_baseline
from harness.baselines.failed import Candidate, Project, accept, digest, offer
from harness.record import Baseline

root = Path(sys.argv[1])
texts = [(root / name).read_text() for name in ("old.json", "new.json")]
path, failed = root / "baselines" / "a.json", root / "failed"
print("ready", flush=True)
for text in itertools.cycle(reversed(texts)):
    if sys.argv[2] == "generate":
        save_baseline(path, Baseline.from_text(text))
        continue
    candidate = Candidate(test="t", baseline="baselines/a.json", compared=digest(path.read_bytes()), result="",
                          difference="", sources={}, obstacle="", origin={})
    offer(failed, candidate, text.encode())
    accept(failed, Project(root, path.parent), replace(candidate, result=digest(text.encode())), "why")
"""


@pytest.mark.parametrize("action", ["generate", "accept"])
def test_kill_9_leaves_the_old_baseline_or_the_new_one(tmp_path, action):
    """At five random moments each: the file can be read, is one of the two, and can be written again."""
    sides = [Baseline(record_of({}, seed=seed, recipe={"fill": "x" * 50_000})) for seed in (1, 2)]
    for name, baseline in zip(("old.json", "new.json"), sides, strict=True):
        (tmp_path / name).write_text(baseline.to_text())
    path = tmp_path / "baselines" / "a.json"
    save_baseline(path, sides[0])
    moments = random.Random(0)
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path), action]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(timeout=moments.uniform(0, 0.05))
            writer.send_signal(signal.SIGKILL)
        found = dataclasses.replace(load_baseline(path, "pytest"), origin={})
        assert found in sides
    save_baseline(path, sides[0])
    assert load_baseline(path, "pytest").record == sides[0].record
