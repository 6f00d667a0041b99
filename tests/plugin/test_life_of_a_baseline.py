"""Promises of the gate: missing, written, compared, broken, regenerated."""

import json

import pytest

from harness.record.record import Record
from tests.plugin.conftest import GENERATE
from tests.projects import loop_test


RECORD = "test_gate-test_training.json"
FIGURE = "test_gate-test_loss_curve.png"


def test_a_missing_baseline_fails_and_writes_nothing(project):
    """The message gives the command that writes it; the folder stays as it was."""
    project.run("--mpl", failed=2).stdout.fnmatch_lines(
        [
            "there is no baseline for this training yet",
            "  where  baselines/test_gate-test_training.json",
            "  fix    pytest 'test_gate.py::test_training[[]cpu[]]' --mpl-generate-path=baselines; or, with *",
        ]
    )
    assert not project.baselines.exists()


def test_generating_writes_records_and_figures_and_says_so(project):
    """One run writes both; the figure tests count as passed, not as skipped."""
    project.run(GENERATE, passed=2).stdout.fnmatch_lines(
        [
            "writing baselines to baselines",
            "cifar_cnn, synthetic, float64, cpu: 6 steps, loss *, * s",
            "1 training in * s",
            "0 compared (0 records, 0 figures), 2 generated, 0 not compared",
        ]
    )
    assert set(project.files()) == {RECORD, FIGURE}


def test_an_unchanged_training_is_green(project):
    """After generating, the gate passes and states what it compared and how close it was."""
    project.generate()
    project.run("--mpl", passed=2).stdout.fnmatch_lines(
        [
            "comparing records and figures",
            "2 compared (1 record, 1 figure), 0 generated, 0 not compared",
            "margins of what passed: deviation 0.0e+00, at most 0 % of a threshold; figure RMS 0.00",
        ]
    )


def test_generating_twice_gives_the_same_bytes(project):
    """`git diff` is empty after a second generation."""
    assert project.generate() == project.generate()


def test_a_changed_training_is_red_and_leaves_the_baseline_alone(project):
    """The failure names step, stage and stream, what changed, where to look and how to accept; figures are red too."""
    before = project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.25025")
    project.run("--mpl", failed=2).stdout.fnmatch_lines(
        [
            "training differs from its baseline from the start: structure, learning_rate of the configuration",
            "  recipe     cifar_cnn, synthetic, float64, cpu   test_gate.py::test_training[[]cpu[]]",
            "  first      step 0   baseline 0.25   now 0.25025",
            "  moves      schedule, learning rate of conv1.weight and 3 more, step 0   baseline 0.125   now 0.125125 *",
            "  then       update of conv1.weight at step 0; norm of conv1.weight at step 0; * of * values in *",
            "  unchanged  data, init",
            "  changed    recipe: learning_rate 0.25 -> 0.25025 since the baseline was made",
            "  look       build/harness/failed/test_gate-test_training.json   (baseline: baselines/*.json)",
            "  look       tensorboard --logdir build/harness/tensorboard",
            '  accept     harness accept test_gate-test_training --reason "..."',
            "follows from test_training[[]cpu[]]: RMS *, tolerance 2",
            'accept all 2: harness accept --reason "..."',
        ]
    )
    assert project.files() == before


def test_the_printed_command_accepts_the_change(project):
    """From red to green by the two commands that the failures print, and nothing else is rewritten."""
    before = project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")

    project.run("test_gate.py::test_training[cpu]", GENERATE, passed=1)
    assert project.files()[FIGURE] == before[FIGURE]
    project.run("test_gate.py::test_loss_curve[cpu]", GENERATE, passed=1)
    project.run("--mpl", passed=2)


def test_numbers_are_compared_without_mpl(project):
    """A plain pytest run still compares the records, and says that figures were not."""
    project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    project.run(failed=1, passed=1).stdout.fnmatch_lines(
        [
            "comparing records but not figures (no --mpl)",
            "1 compared (1 record, 0 figures), 0 generated, 1 not compared",
        ]
    )


def test_figures_are_compared_without_the_numbers(project):
    """A project may keep figures alone; the curve's digits carry the fault."""
    project.generate()
    (project.baselines / RECORD).unlink()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.25025")
    project.run("--mpl", "-k", "loss_curve", failed=1, deselected=1).stdout.fnmatch_lines(
        [
            "the figure differs from its baseline: RMS *, tolerance 2",
            "  look      build/harness/figures/test_gate.test_loss_curve=cpu/side-by-side.png",
            '  accept    harness accept test_gate-test_loss_curve --reason "..."',
        ]
    )


def nan_model(project):
    """Let a user's model yield NaN from step 2 on."""
    project.edit(
        'RECIPE = Recipe(model="cifar_cnn", width=2,',
        """
import torch
class Poisoned(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3 * 32 * 32, 10)
        self.calls = 0
    def forward(self, images):
        self.calls += self.training
        logits = self.linear(images.flatten(1))
        return logits * float("nan") if self.calls > 4 else logits
RECIPE = Recipe(model=Poisoned,
""".replace("\nRECIPE", "\n\nRECIPE"),
    )


def test_nan_fails_and_names_the_step(project):
    """A model that yields NaN at step 2 is red there, whatever the baseline holds."""
    nan_model(project)
    project.edit("> 4", "> 99")
    project.generate()
    project.edit("> 99", "> 4")
    project.run("--mpl", failed=2).stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 2 on: forward, loss",
            "  first      step 2   baseline * now nan",
            "loss is nan at step 2 (forward)",
        ]
    )


def test_nan_never_becomes_a_baseline(project):
    """Neither a record nor a figure with NaN is written."""
    nan_model(project)
    project.run(GENERATE, failed=2).stdout.fnmatch_lines(
        [
            "loss is nan at step 2 (forward)",
            "  where  the record of test_gate.Poisoned",
            "  fix    find where the number is made; a figure cannot hold it, a baseline can if its test expects it: *",
        ]
    )
    assert project.files() == {}


def test_an_incomplete_record_is_neither_compared_nor_written(project):
    """What failed within the recorder is red, whether baselines are compared or written, and the loop has gone on."""
    project.write(
        test_gate="""
        import torch
        from harness import Recorder

        def test_t(training_regression):
            with Recorder() as recorder:
                model = torch.nn.Linear(1, 1)
                model.register_buffer("odd", torch.empty(1, device="meta"))
                recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
                recorder.batch(torch.ones(1, 1))
                loss = model(torch.ones(1, 1)).sum()
                loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
            print("gone on")
            training_regression.check(recorder.record)
        """
    )
    for options in ((), (GENERATE,)):
        project.run(*options, failed=1).stdout.fnmatch_lines(
            ["the recorder could not do its part of Recorder.batch, so this record is incomplete: NotImpl*", "gone on"]
        )
    assert project.files() == {}


def hand_edited(text):
    """Change one digit of a number."""
    return text.replace("2.3", "2.4", 1)


def holding_nan(text):
    """A well-formed baseline that holds NaN: what another tool might have written."""
    from dataclasses import replace

    from harness.record.streams import Stream

    record = Record.from_text(text)
    loss = record.streams["loss"]
    streams = {**record.streams, "loss": Stream(loss.stage, loss.steps, (float("nan"), *loss.values[1:]))}
    return replace(record, streams=streams).to_text()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda text: text[:1000], "the baseline cannot be read: it is not JSON (*)"),
        (lambda text: "", "the baseline cannot be read: it is not JSON (*)"),
        (lambda text: json.dumps({"format": 99}), "the baseline cannot be read: it is not of format 4"),
        (hand_edited, "the baseline was edited after it was written: its checksum does not fit its contents"),
        (holding_nan, "the baseline holds nan in loss at step 0 (forward)"),
        (lambda text: "<<<<<<< HEAD\n" + text, "the baseline holds the marks of a merge conflict*"),
    ],
    ids=["truncated", "empty", "foreign", "edited", "nan", "conflict"],
)
def test_a_broken_baseline_is_a_message_not_a_traceback(project, damage, line):
    """Whatever stands in the file, the gate is red, names the file and the way out, and leaves it alone."""
    project.generate()
    path = project.baselines / RECORD
    path.write_text(damage(path.read_text()))
    before = project.files()
    result = project.run("--mpl", failed=1, passed=1)

    result.stdout.fnmatch_lines([line, "  where  baselines/test_gate-test_training.json", "  fix    *"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert project.files() == before


def test_a_binary_baseline_is_a_message_too(project):
    """Bytes that are no text."""
    project.generate()
    (project.baselines / RECORD).write_bytes(b"\xff\xfe\x00")

    project.run("--mpl").stdout.fnmatch_lines(["the baseline cannot be read: 'utf-8' codec can't decode*"])


def test_a_folder_that_cannot_be_written_is_refused_before_training(project):
    """A file where the folder should be: one message, no training, non-zero exit."""
    project.baselines.write_text("in the way")
    result = project.run(GENERATE)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: the baseline could not be written: *",
            "  where  *baselines",
            "  fix    make the folder writable and the disk roomy, then run the command again; nothing was changed",
        ]
    )


@pytest.mark.parametrize("method", ["replace", "chmod"])
def test_a_full_disk_leaves_the_old_baselines_whole(project, monkeypatch, method):
    """When writing fails half-way, what stood there still stands, and no scrap is left."""
    from pathlib import Path

    before = project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    original = getattr(Path, method)

    def fail(path, *args, **options):
        if path.parent == project.baselines:
            raise OSError(28, "No space left on device")
        return original(path, *args, **options)

    monkeypatch.setattr(Path, method, fail)
    project.run(GENERATE, failed=2).stdout.fnmatch_lines(
        ["the baseline could not be written: No space left on device"] * 2
    )
    assert project.files() == before


def test_equal_recipes_are_trained_once(project):
    """All tests of a session that ask for the same recipe and device share one training."""
    project.write(test_other=(project.path / "test_gate.py").read_text())
    project.run(GENERATE, passed=4).stdout.fnmatch_lines(
        ["1 training in * s", "0 compared (0 records, 0 figures), 4 generated, 0 not compared"]
    )


def test_two_records_of_one_test_need_names(project):
    """A second check under the same name would compare with the wrong baseline."""
    project.edit("    training_regression.check(record)", "    training_regression.check(record)\n" * 2)
    project.run(GENERATE).stdout.fnmatch_lines(
        [
            "this test checks a second record under the name ''",
            "  fix    name it: training_regression.check(record, name='...')",
        ]
    )
    project.edit("    training_regression.check(record)\n\n", "    training_regression.check(record, name='again')\n")
    project.generate()

    assert {RECORD, "test_gate-test_training,again.json"} <= set(project.files())
    project.run("--mpl", passed=2)


def test_a_watched_loop_is_gated_like_a_recipe(project):
    """The contract's example: any loop, no rewrite of it."""
    project.write(test_loop=loop_test(recorder="precision='float64', seed=0"))
    project.generate()
    project.run("--mpl", passed=3)
    project.edit("lr=0.1", "lr=0.1001", file="test_loop.py")
    project.run("--mpl", "test_loop.py", failed=1).stdout.fnmatch_lines(
        ["training differs from its baseline from step 0 on: schedule, learning rate *"]
    )


SHIFTED = loop_test(
    loss="torch.nn.functional.cross_entropy(model(inputs), torch.arange(8) % 3)",
    model="torch.nn.Sequential(torch.nn.Linear(4, 3)); torch.nn.init.constant_(model[0].bias, 0.0)",
    steps=3,
)


def test_drift_passes_is_counted_and_fails_under_strict(project):
    """Biases shifted in front of softmax: nothing that counts moved. It is said, and --training-strict refuses it."""
    (project.path / "test_gate.py").write_text(SHIFTED)
    project.generate()
    project.edit("bias, 0.0", "bias, 1.0")
    project.run("--mpl", passed=1).stdout.fnmatch_lines(
        [
            "1 compared (1 record, 0 figures, 1 of them drifted), 0 generated, 0 not compared",
            "training, float64, cpu: drift, largest deviation * in * values, first initial 0.bias; "
            "largest threshold used *e-1*, of *",
        ]
    )
    project.run("--mpl", "--training-strict", failed=1)


def test_a_rename_passes_and_is_said(project):
    """A refactoring that renames tensors needs no new baseline."""
    (project.path / "test_gate.py").write_text(SHIFTED)
    project.generate()
    project.edit("torch.nn.Linear(4, 3)", "torch.nn.Sequential(torch.nn.Linear(4, 3))")
    project.edit("model[0].bias", "model[0][0].bias")
    project.run("--mpl", passed=1).stdout.fnmatch_lines(["*; renamed 0.weight -> 0.0.weight, 0.bias -> 0.0.bias"])
