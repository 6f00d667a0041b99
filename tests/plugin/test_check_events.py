"""Promises of check_events: a training that leaves only event files is gated like any other."""

from dataclasses import replace

import pytest

from harness.record import Baseline
from tests.plugin.conftest import GENERATE


EVENTS = """
from torch.utils.tensorboard import SummaryWriter

RATE, STEPS = 0.1, 6

def train(logdir):
    weight = 1.0
    with SummaryWriter(str(logdir)) as writer:
        for step in range(STEPS):
            writer.add_scalar("train/lr", RATE, step)
            writer.add_scalar("train/loss", weight**2 / 3, step)
            weight -= RATE * 2 * weight / 3
            writer.add_scalar("val/loss", weight**2 / 3, step)

def test_training(tmp_path, training_regression):
    train(tmp_path)
    training_regression.check_events(tmp_path)
"""

RECORD = "test_gate-test_training.json"


@pytest.fixture
def gate(project):
    """A project whose training leaves event files alone, with its baseline."""
    project.write(test_gate=EVENTS)
    project.generate()
    return project


def test_an_unchanged_training_is_green_and_says_how_close_it_was(gate):
    """Event files keep float32, so the margin of float64 records is not theirs: a line of their own."""
    result = gate.run(passed=1)

    result.stdout.fnmatch_lines(
        [
            "training, float64 in event files, cpu: 6 steps, loss *, * s   test_gate.py::*",
            "1 compared (1 record, 0 figures), 0 generated, 0 not compared",
            "training, float64 in event files, cpu: same, largest deviation 0.0e+00 in 20 values",
        ]
    )
    result.stdout.no_fnmatch_line("margins of what passed*")


def test_generating_twice_gives_the_same_bytes(gate):
    """No time, path or host is in the baseline, which is as small as float32 allows."""
    before = gate.files()

    assert gate.generate() == before
    assert list(before) == [RECORD]
    assert b"0.33333334" in before[RECORD]


def test_a_changed_training_is_red_and_names_step_stage_and_tag(gate):
    """The same lines as for a watched loop, and that event files keep float32."""
    gate.edit("RATE, STEPS = 0.1", "RATE, STEPS = 0.1001")
    gate.run(failed=1).stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 0 on: schedule, train/lr",
            "  recipe     training, float64 in event files, cpu   test_gate.py::test_training",
            "  first      step 0   baseline 0.1   now 0.1001   (1.0e-03, threshold 1e-06)",
            "  threshold  event files keep float32, which rounds by up to 1.2e-07",
            "  then       val/loss at step 0; train/loss at step 1; 17 of 20 values in 3 of 3 streams",
            "  unchanged  structure",
            f"  look       build/harness/failed/{RECORD}   (baseline: baselines/{RECORD})",
            '  accept     harness accept test_gate-test_training --reason "..."',
        ]
    )


def test_a_change_below_float32_cannot_be_seen(gate):
    """What event files round away is no change; one part in 100,000 is one."""
    gate.edit("RATE, STEPS = 0.1", "RATE, STEPS = 0.1 + 1e-10")
    gate.run(passed=1)
    gate.edit("0.1 + 1e-10", "0.1 + 1e-6")
    gate.run(failed=1)


def test_float32_is_exact_in_the_same_environment(project):
    """The caller says in which precision the training computed."""
    project.write(test_gate=EVENTS.replace("check_events(tmp_path)", 'check_events(tmp_path, precision="float32")'))
    project.generate()
    project.run(passed=1)
    project.edit("RATE, STEPS = 0.1", "RATE, STEPS = 0.1 + 1e-7")
    result = project.run(failed=1)

    first = "  first      step 0   baseline 0.29037037   now 0.29037032   (1.7e-07, threshold 0e+00)"
    result.stdout.fnmatch_lines([first])


def test_an_accuracy_that_falls_on_another_machine_is_not_judged(project):
    """Nothing says how far rounding moves it there: it is no drift, it is counted, and what would help is said."""
    events = EVENTS.replace("check_events(tmp_path)", 'check_events(tmp_path, precision="float32")')
    project.write(test_gate=events.replace('"val/loss", weight**2 / 3', '"val/accuracy", 0.92'))
    project.generate()
    baseline = Baseline.from_text((project.baselines / RECORD).read_text())
    elsewhere = replace(baseline.record, environment=baseline.record.environment | {"processor": "another"})
    (project.baselines / RECORD).write_text(elsewhere.to_text())
    project.edit("0.92", "0.02")
    project.run(passed=1).stdout.fnmatch_lines(
        [
            "1 compared (1 record, 0 figures, 1 not judged), 0 generated, 0 not compared",
            "training, float32 in event files, cpu: not judged, 6 values moved by up to 9.8e-01, which nothing could "
            "have failed, first val/accuracy; from step 0 on rounding alone moves val accuracy too far to be judged: "
            "a baseline of this environment (--training-generate=add) would help; baseline made in another environment "
            "(processor another -> *)",
        ]
    )


def test_a_missing_tag_is_red(gate):
    """A scalar that is no longer logged is named, with what the baseline holds."""
    gate.edit('writer.add_scalar("val/loss"', 'writer.add_scalar("val/error"')
    gate.run(failed=1).stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 0 on: evaluation, val/loss",
            "  first      step 0   baseline 0.*   now nothing",
        ]
    )


def test_a_shorter_training_is_red(gate):
    """A training that ended early is not the same as far as it went."""
    gate.edit("STEPS = 0.1, 6", "STEPS = 0.1, 4")
    gate.run(failed=1).stdout.fnmatch_lines(["training differs from its baseline from step 4 on: schedule, train/lr"])


def test_nan_is_red_and_never_becomes_a_baseline(gate):
    """As everywhere in the gate."""
    before = gate.files()
    gate.edit('"train/loss", weight**2', '"train/loss", (1 if step < 3 else float("nan")) * weight**2')
    gate.run(failed=1).stdout.fnmatch_lines(
        ["training differs from its baseline from step 3 on: forward, train/loss", "*now nan*"]
    )
    gate.run(GENERATE, failed=1).stdout.fnmatch_lines(["train/loss is nan at step 3 (forward)"])
    assert gate.files() == before


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        ("shutil.rmtree(tmp_path)", ["there are no event files in *", "  where  looked for a folder"]),
        ("file.unlink()", ["there are no event files in *", "  where  looked for files with tfevents *"]),
        ("os.truncate(file, 100)", ["the event file is cut off: the event that begins at byte *", "  where  */*"]),
        ("file.write_text('x' * 99)", ["the event file cannot be read: what is at byte 0 is no event"]),
        ("file.write_text('')", ["the event files hold no scalar to compare"]),
    ],
    ids=["folder", "files", "cut", "damaged", "empty"],
)
def test_files_that_cannot_be_compared_end_in_a_message(gate, after, lines):
    """Missing, cut off, damaged, empty: what, where and what to do, without a traceback."""
    lead = "    import os, shutil\n    train(tmp_path)\n    (file,) = tmp_path.iterdir()\n"
    gate.edit("    train(tmp_path)\n", f"{lead}    {after}\n")
    result = gate.run(failed=1)

    result.stdout.fnmatch_lines(lines)
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*harness/events*")


def test_one_test_may_check_several_folders(project):
    """A name tells their baselines apart."""
    body = '    training_regression.check_events(tmp_path, name="again", ignore=("val/*",))\n'
    project.write(test_gate=EVENTS + body)
    project.generate("--training-reason=no validation set yet")

    assert list(project.files()) == ["test_gate-test_training,again.json", RECORD]
    shown = project.path / "build" / "harness" / "tensorboard"
    assert sorted(run.name for run in shown.iterdir()) == ["gate-training", "gate-training,again"]
    project.run(passed=1)
    project.edit("/ 3, step)\n\n", "/ 4, step)\n\n")
    result = project.run()
    result.stdout.fnmatch_lines(["training differs from its baseline from step 0 on: evaluation, val/loss"])


KEPT = """
    if not os.path.exists("runs"):
        train("runs")
    training_regression.check_events("runs", ignore=["train/lr", "val/*"])
"""


def test_files_of_an_earlier_session_are_red_unless_the_test_reads_old_ones(project):
    """A training that does not run any more is no proof; what the test leaves out is named."""
    body = EVENTS.index("    train(tmp_path)")
    project.write(test_gate="import os\n" + EVENTS[:body] + KEPT)
    ignored = "the test ignores 2 of 3 scalars: train/lr, val/loss"
    project.run(GENERATE, "--training-reason=so").stdout.fnmatch_lines(
        [f"training, float64 in event files, cpu: thresholds *; {ignored} *"]
    )
    project.run(failed=1).stdout.fnmatch_lines(
        ["the event file was left by an earlier run: *", "  where  runs/events.out.tfevents.*"]
    )

    project.edit('("runs", ignore', '("runs", old=True, ignore')
    project.run(passed=1).stdout.fnmatch_lines([f"training, float64 in event files, cpu: same, *; {ignored}; *"])
