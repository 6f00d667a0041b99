"""Promises of low precision: the baseline is calibrated, noise of other machines is drift, a fault is red."""

import json
import shutil
import subprocess
import tempfile

import pytest
import torch

from harness.comparing import variants
from harness.record import Baseline
from harness.recording.perturbation import Perturbation, Rerun, perturbed
from tests.plugin.conftest import GENERATE
from tests.projects import QUICK, SMALL, loop_test


RECIPES = (
    SMALL
    + """
LOW = dataclasses.replace(RECIPE, test_images=200)  # an image that noise classifies otherwise counts for little

@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training(training, training_regression, precision):
    training_regression.check(training(dataclasses.replace(LOW, precision=precision)))
"""
)

LOOP = loop_test(
    "test_my_trainer",
    model="torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))",
    recorder='precision="float32", states=training_regression.states()',
    optimizer=", momentum=0.9",
)

RECORDS = {
    "float32": "test_gate-test_training=float32.json",
    "bfloat16": "test_gate-test_training=bfloat16.json",
    "loop": "test_loop-test_my_trainer.json",
}


def states_of(record):
    """Name of the states that belong to a baseline."""
    sha256 = json.loads(record.read_text())["calibration"]["states"]
    return f"{record.stem}~{sha256[:12]}.safetensors"


@pytest.fixture
def processes(monkeypatch):
    """Every process that a run starts."""
    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *args, **options):
            started.append(self)
            super().__init__(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return started


@pytest.fixture
def sound(project, monkeypatch):
    """A project with two recipes and a watched loop in low precision, to be calibrated on one variant to save time.

    It is as strict as projects are: warnings are errors, in the processes of reruns too, and nothing is cached.
    """
    project.pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-config -p no:cacheprovider\n")
    monkeypatch.setattr(variants, "KERNELS", [])
    monkeypatch.setattr(variants, "DRAWS", [Rerun("jitter 1", Perturbation(jitter=1))])
    (project.path / "test_gate.py").write_text(RECIPES)
    (project.path / "test_loop.py").write_text(LOOP)
    return project


@pytest.fixture
def low(sound):
    """The same with its baselines."""
    sound.generate()
    return sound


@pytest.mark.long
def test_generating_calibrates_and_leaves_nothing_behind(own_process, sound, processes, monkeypatch, tmp_path):
    """Records with thresholds, states beside them, and a line on each; no process runs on, no scrap is left."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    result = sound.run(GENERATE, passed=3)

    note = "*, cpu: * states stored, thresholds 3 x the largest deviation (*e-*) with 1 draw of rounding   test_*"
    result.stdout.fnmatch_lines(["0 compared (0 records, 0 figures), 3 generated, 0 not compared", *[note] * 3])
    expected = {name for file in RECORDS.values() for name in (file, states_of(sound.baselines / file))}
    assert set(sound.files()) == expected
    assert processes
    assert all(process.poll() is not None for process in processes)
    assert not list((tmp_path / "temporary").glob("training-regression-*"))


@pytest.mark.long
def test_a_calibrated_baseline_knows_its_states(low):
    """Steps, variants and sizes stand in the record, by kind of stream."""
    for file in RECORDS.values():
        baseline = Baseline.from_text((low.baselines / file).read_text())

        assert baseline.calibration.steps == tuple(range(baseline.record.num_steps))
        assert baseline.calibration.variants == ("jitter 1",)
        assert {"update", "distance/weight"} <= baseline.calibration.largest.keys()
        assert all(0 < size < 0.5 for sizes in baseline.calibration.largest.values() for size in sizes)


def test_an_unchanged_training_is_the_same(low):
    """In the environment of the baseline nothing has moved, whether the states were put back or not."""
    low.run("--training-strict", passed=3).stdout.fnmatch_lines(
        [
            "3 compared (3 records, 0 figures), 0 generated, 0 not compared",
            "margins of what passed: deviation 0.0e+00, at most 0 % of a threshold",
        ]
    )


@pytest.mark.long
def test_another_environment_is_drift(low, monkeypatch):
    """Other instructions: every number of a watched loop is within what rounding explains, and it is said."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    result = low.pytester.runpytest_subprocess(*QUICK, "test_loop.py")

    result.assert_outcomes(passed=1)
    if torch.backends.cpu.get_cpu_capability() != "DEFAULT":
        result.stdout.fnmatch_lines(
            [
                "1 compared (1 record, 0 figures, 1 of them drifted), 0 generated, 0 not compared",
                "training, float32, cpu: drift, largest deviation *e-0* in * values; largest threshold used *; "
                "baseline made in another "
                "environment (instructions * -> DEFAULT, ATEN_CPU_CAPABILITY absent -> default)",
            ]
        )


@pytest.fixture
def other_kernels(low):
    """Convolutions without oneDNN, once the baselines are there."""
    torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(True)


@pytest.mark.usefixtures("other_kernels")
@pytest.mark.long
def test_drift_passes_is_counted_and_fails_under_strict(low):
    """Of a recipe, which is put back on its states before it is judged, and of a watched loop with other noise.

    --training-strict shows drift under the note, without a place where it begins.
    """
    recipe = low.run("test_gate.py", "-k", "float32")
    with perturbed(Perturbation(jitter=7)):
        loop = low.run("test_loop.py")
        failed = low.run("test_loop.py", "--training-strict")

    for passed, name in ((recipe, "cifar_cnn, synthetic"), (loop, "training")):
        assert passed.parseoutcomes()["passed"] == 1
        drift = f"{name}, float32, cpu: drift, largest deviation *e-0* in * values; largest threshold used *"
        passed.stdout.fnmatch_lines(
            ["1 compared (1 record, 0 figures, 1 of them drifted), 0 generated, 0 not compared", drift]
        )
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(
        [
            "training, float32, cpu: drift, largest deviation *e-0* in * values; largest threshold used *",
            "  recipe     training, float32, cpu   test_loop.py::test_my_trainer",
            "  unchanged  structure, data, init, schedule, forward, backward, update, state",
            "  accept     pytest test_loop.py::test_my_trainer --mpl-generate-path=baselines",
        ]
    )


def test_a_fault_in_a_watched_loop_is_red_and_says_whence_the_threshold(low):
    """Momentum takes effect at step 1; the loop is back on the stored state there, so nothing else has grown."""
    low.edit("momentum=0.9", "momentum=0.899", file="test_loop.py")
    result = low.run("test_loop.py")
    measured = Baseline.from_text((low.baselines / RECORDS["loop"]).read_text()).calibration.largest["update"][0]

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "training differs from its baseline from step 0 on: schedule, momentum of *",
            "  first      step 0   baseline 0.9   now 0.899",
            "  moves      update, update of *, step 1   baseline * now * (*, threshold *)",
            f"  threshold  3 x {measured:.1e}, the largest 0 steps after a stored state with 1 draw of rounding",
            "  then       norm of *.weight at step 1; * values in * streams",
            "  unchanged  structure, data, init, forward, backward",
        ]
    )


def test_a_fault_in_a_recipe_is_red_in_every_precision(low):
    """A training that is not its baseline bit for bit is put back on the states before it is judged."""
    low.edit("test_images=200)", "test_images=200, momentum=0.7)")
    low.run("test_gate.py", failed=2).stdout.fnmatch_lines(
        [
            "training differs from its baseline from the start: structure, momentum of the configuration",
            "  moves      update, update of *",
            "  threshold  *1 draw of rounding*",
            "  changed    recipe: momentum 0.9 -> 0.7 since the baseline was made",
        ]
        * 2
    )


def test_a_recipe_that_went_wrong_once_is_red(low, monkeypatch):
    """Only the first training has the fault; the second, which is put back on the states, does not speak for it."""
    from harness.shipped import loop

    built, build = [], loop.build_model

    def cold(recipe):
        built.append(build(recipe))
        if len(built) == 1:
            built[0].classifier.weight.data.mul_(3)
        return built[-1]

    monkeypatch.setattr(loop, "build_model", cold)
    low.run("test_gate.py", "-k", "float32", failed=1, deselected=1).stdout.fnmatch_lines(
        ["two trainings of one session differ from step 0 on: init, initial weights", "  where  no draw *"]
    )


def missing(states):
    """Forgotten in the commit."""
    states.unlink()
    return "No such file or directory"


def corrupt(states):
    """A byte that was not written."""
    data = states.read_bytes()
    states.write_bytes(data[:100] + bytes([data[100] ^ 255]) + data[101:])
    return "they are not those that were written"


def of_another(states):
    """Another baseline's, renamed."""
    states.write_bytes(next(path for path in states.parent.glob("*.safetensors") if path != states).read_bytes())
    return "they are not those that were written"


@pytest.mark.parametrize("damage", [missing, corrupt, of_another])
def test_states_that_cannot_be_used_are_a_message_not_a_traceback(low, damage):
    """A watched loop needs them before it starts; nothing is rewritten."""
    states = states_of(low.baselines / RECORDS["loop"])
    reason = damage(low.baselines / states)
    before = low.files()
    result = low.run("test_loop.py", failed=1)

    result.stdout.fnmatch_lines(
        [
            f"the states of the baseline cannot be read: {reason}",
            f"  where  baselines/{states}",
            f"  fix    restore them (git checkout -- baselines/{states}) or regenerate the baseline: "
            "pytest test_loop.py::test_my_trainer --mpl-generate-path=baselines",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert low.files() == before


def test_a_recipe_is_not_judged_by_half_a_baseline(low):
    """Equal bit for bit, it would need no states; their absence is told before any verdict."""
    states = states_of(low.baselines / RECORDS["float32"])
    missing(low.baselines / states)
    low.run("test_gate.py", "-k", "float32", failed=1, deselected=1).stdout.fnmatch_lines(
        [
            "the states of the baseline cannot be read: No such file or directory",
            f"  where  baselines/{states}",
            f"  fix    restore them * the baseline: pytest 'test_gate.py::test_training[[]cpu-float32[]]' {GENERATE}",
        ]
    )


def test_states_of_a_baseline_that_is_gone_are_orphans(low):
    """A test that was deleted leaves two files, and both are told."""
    (low.path / "test_loop.py").unlink()
    low.edit('["float32", "bfloat16"]', '["float32"]')
    loop, bfloat16 = (states_of(low.baselines / RECORDS[which]) for which in ("loop", "bfloat16"))

    low.run().stdout.fnmatch_lines(
        [
            "4 baselines in baselines that no test claims:",
            f"  {RECORDS['bfloat16']}",
            f"  {bfloat16}",
            f"  {RECORDS['loop']}",
            f"  {loop}",
        ]
    )


def test_a_loop_that_goes_over_to_float64_leaves_no_states_behind(low):
    """Its new baseline needs none; `states()` may stay in the test."""
    low.edit('precision="float32"', 'precision="float64"', file="test_loop.py")
    states = states_of(low.baselines / RECORDS["loop"])
    low.run("test_loop.py", GENERATE, passed=1)

    assert not (low.baselines / states).exists()
    low.run("test_loop.py", passed=1)


def test_a_loop_that_forgets_its_states_is_exact_where_it_was_made(low):
    """Without `states=` the comparison is bit for bit in the same environment, and any change is red."""
    low.edit(", states=training_regression.states()", "", file="test_loop.py")

    low.run("test_loop.py", passed=1)
    low.edit("lr=0.1,", "lr=0.1, dampening=1e-6,", file="test_loop.py")
    low.run("test_loop.py", failed=1).stdout.no_fnmatch_line("  threshold *")


def test_a_test_that_changes_its_folder_finds_its_baseline(low):
    """Trainers write where they stand, so tests go elsewhere first."""
    fixtures = "(training_regression, monkeypatch, tmp_path):\n    monkeypatch.chdir(tmp_path)"
    low.edit("(training_regression):", fixtures, file="test_loop.py")

    low.run("test_loop.py", passed=1)


def test_the_first_run_has_no_states_and_says_that_there_is_no_baseline(low):
    """`states()` leaves it to `check` to say so."""
    shutil.rmtree(low.baselines)
    low.run("test_loop.py", failed=1).stdout.fnmatch_lines(["there is no baseline for this training yet"])
