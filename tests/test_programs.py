"""Promises of the programs that we gate: few lines added, the same training, green again, red with the place named."""

import functools
import os
import subprocess
import sys

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from harness import Record, compare
from harness.recording.determinism import deterministic
from tests import programs
from tests.plugin.conftest import project  # noqa: F401 - a fixture
from tests.programs import __main__ as table


def _each(name, *fault, id, at_night=False):
    missing = pytest.mark.skipif(not programs.can_run(name), reason=f"{programs.NEEDED.get(name)} is not installed")
    old_calls = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning")  # Lightning's own
    return pytest.param(name, *fault, id=id, marks=[missing, old_calls, *[pytest.mark.long] * at_night])


NAMES = [_each(name, id=name) for name in programs.PROGRAMS]
FAULTS = [
    _each(name, fault, id=f"{name}-{index}", at_night=index > 0)
    for name, faults in programs.PROGRAMS.items()
    for index, fault in enumerate(faults)
]
ELSEWHERE = {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def trained(train):
    """Call something that trains; return what it returns, and the norm of all trained weights after each step."""
    weights = []

    def note(optimizer, *_):
        tensors = [weight for group in optimizer.param_groups for weight in group["params"]]
        weights.append(torch.nn.utils.get_total_norm(tensors).item())

    hook = register_optimizer_step_post_hook(note)
    try:
        return train(), weights
    finally:
        hook.remove()


@functools.cache
def baseline(name):
    """The record of a program as it stands, and its weights."""
    if name in programs.NEEDED:  # a library may draw as it is first used in a process, which would be told as a cause
        programs.record(name, programs.text(name))
    return trained(lambda: programs.record(name, programs.text(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_the_same_without_at_most_five_lines(name):
    """Without the lines that are there for the harness nothing speaks of it, and each step leaves the same weights."""
    text = programs.text(name)
    bare = programs.without(text)
    with deterministic("float64", seed=0):
        _, weights = trained(lambda: programs.run(name, bare))

    assert len(programs.added(text)) <= 5
    assert not any(word in bare for word in ("recorder", "harness"))
    assert weights == pytest.approx(baseline(name)[1], rel=1e-9)
    assert len(weights) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_green_again(name):
    """Trained twice, it is the same."""
    comparison = compare(baseline(name)[0], programs.record(name, programs.text(name)))

    assert (comparison.verdict, comparison.largest) == ("same", 0.0)


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_fault_is_red_and_its_place_is_named(name, fault):
    """An edit of one line is different, from the step, the stage and the stream on in which it is at work."""
    comparison = compare(baseline(name)[0], programs.record(name, programs.edited(name, fault)))

    assert (comparison.verdict, comparison.first_divergence) == ("different", fault.place)


@pytest.mark.long
def test_programs_are_green_on_another_cpu(tmp_path):
    """With the kernels of an old CPU and another number of threads, each program is the same."""
    environment = {**os.environ, **ELSEWHERE}
    subprocess.run([sys.executable, "-m", "tests.programs", tmp_path], check=True, env=environment)
    found = {path.stem: Record.from_text(path.read_text()) for path in sorted(tmp_path.iterdir())}

    assert found.keys() == {*filter(programs.can_run, programs.PROGRAMS)}
    assert {compare(baseline(name)[0], record).verdict for name, record in found.items()} == {"same"}
    assert {record.environment["instructions"] for record in found.values()} == {"DEFAULT"}


GATES = {
    "script": """
import contextlib
import runpy
import sys
from harness import Recorder

def test_training_is_unchanged(training_regression, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "--steps", "6"])
    with Recorder(precision="float64", seed=0) as recorder, contextlib.suppress(SystemExit):
        runpy.run_path("script.py", init_globals={"recorder": recorder}, run_name="__main__")
    training_regression.check(recorder.record)
""",
    "trainer": """
import trainer
from harness import Recorder

def test_training_is_unchanged(training_regression, monkeypatch):
    with Recorder(precision="float64", seed=0) as recorder:
        monkeypatch.setattr(trainer, "recorder", recorder)
        trainer.Trainer(trainer.Net(), trainer.stripes(36, 1), trainer.stripes(24, 2), epochs=2).fit()
    training_regression.check(recorder.record)
""",
}
HEADLINES = {
    "script": "from step 0 on: schedule, learning rate of all parameters",
    "trainer": "from step 0 on: data, sampler of data loader 0",
}


@pytest.mark.parametrize("name", GATES)
def test_a_program_is_gated_by_pytest(name, project):  # noqa: F811 - the fixture
    """Generated and compared it passes; an edit makes it fail under the headline that names its place."""
    fault = programs.PROGRAMS[name][0]
    project.write(test_gate=GATES[name], **{name: programs.text(name)})
    project.generate()
    project.run("--mpl").assert_outcomes(passed=1)

    project.edit(fault.right, fault.wrong, file=f"{name}.py")
    result = project.run("--mpl")
    result.assert_outcomes(failed=1)
    assert f"training differs from its baseline {HEADLINES[name]}" in result.outlines


def test_the_table_tells_what_is_added_and_where_faults_are_caught(monkeypatch, capsys):
    """One line a program and one a fault; a place that is not the expected one is marked."""
    fault, other, _ = programs.PROGRAMS["ema"]
    monkeypatch.setattr(table, "PROGRAMS", {"ema": [fault, other._replace(place=(1, "state", "x"))]})
    monkeypatch.setattr(sys, "argv", ["programs"])
    table.main()
    head, first, second = capsys.readouterr().out.splitlines()

    assert head.split()[:6] == ["ema", "5", "lines", "added", "10", "steps"]
    assert first.split("  ")[2] == "decay=0.9 -> decay=0.99"
    assert first.endswith(" step 0, state, weight/model2.0.weight")
    assert second.endswith(" step 0, state, buffer/model2.1.running_mean   expected (1, 'state', 'x')")
