"""Promises of low-precision baselines of several environments: added, chosen, explained, refused in strict mode."""

from dataclasses import replace

import pytest

from harness.baselines.failed import candidates
from harness.comparing import variants
from harness.record.record import Record
from tests.plugin.test_low_precision import LOOP


TEST = "test_loop.py::test_my_trainer"
SHARED = "test_loop-test_my_trainer.json"
ADD = "--training-generate=add"


@pytest.fixture
def loop(project):
    """A project with one watched loop in float32, without states."""
    (project.path / "test_gate.py").unlink()
    project.write(test_loop=LOOP.replace(", states=training_regression.states()", ""))
    project.generate()
    return project


def move(project, torch, file=SHARED):
    """Have a baseline come from another torch."""
    path = project.baselines / file
    record = Record.from_text(path.read_text())
    path.write_text(replace(record, environment=record.environment | {"torch": torch}).to_text())


def own(project):
    """Files of baselines of one environment."""
    return [name for name in project.files() if ",@" in name]


def test_the_baseline_of_another_environment_is_named(loop):
    """Equal bit for bit, the training is green; what it was held against is no secret."""
    move(loop, "2.0.0")
    loop.run(passed=1).stdout.fnmatch_lines(
        [
            "training, float32, cpu: same, largest deviation 0.0e+00 in * values; baseline made in another environment "
            "(torch 2.0.0 -> *)"
        ]
    )


def test_strict_takes_no_baseline_of_another_environment(loop):
    """A message that says which there is, and the command that adds one; after it the gate is green."""
    move(loop, "2.0.0")
    loop.run("--training-strict", failed=1).stdout.fnmatch_lines(
        [
            "no baseline of this environment is stored, and --training-strict takes no other; there is one made in "
            "another environment (torch 2.0.0 -> *)",
            f"  where  baselines/{SHARED}",
            f"  fix    store one for this environment, too: pytest {TEST} --mpl-generate-path=baselines {ADD}",
        ]
    )
    before = loop.files()
    loop.generate(ADD)
    after = loop.files()

    assert {name: after[name] for name in before} == before
    assert len(own(loop)) == 1
    loop.run("--training-strict", passed=1)


def test_a_baseline_is_added_only_where_it_is_asked_for(loop):
    """Without the option the shared one is replaced; in its own environment there is nothing to add."""
    move(loop, "2.0.0")
    before = loop.files()
    loop.generate()
    assert not own(loop)
    assert loop.files() != before

    before = loop.files()
    loop.generate(ADD)
    assert loop.files() == before


def test_the_own_baseline_is_what_changes_when_this_environment_regenerates(loop):
    """The shared one stays as another machine wrote it."""
    move(loop, "2.0.0")
    loop.generate(ADD)
    loop.edit("lr=0.1", "lr=0.2", file="test_loop.py")
    before = loop.files()
    loop.run(failed=1)
    after = loop.generate()

    assert after[SHARED] == before[SHARED]
    assert [after[name] != before[name] for name in own(loop)] == [True]
    loop.run("--training-strict", passed=1)


def test_a_failure_says_which_baseline_it_speaks_of(loop):
    """Of two, the nearest; both belong to the test, so neither is an orphan."""
    move(loop, "2.0.0")
    loop.generate(ADD)
    move(loop, "2.1.0", file=own(loop)[0])
    loop.edit("momentum=0.9", "momentum=0.2", file="test_loop.py")
    result = loop.run(failed=1)

    result.stdout.fnmatch_lines(
        ["  baseline   the nearest of 2, none of this environment (torch 2.[01].0 -> *)", "  changed    torch 2* -> *"]
    )
    result.stdout.no_fnmatch_line("*that no test claims*")
    result.stdout.no_fnmatch_line("training, float32, cpu: different*")


def test_adding_needs_writing(loop):
    """In a comparing run the option is refused."""
    result = loop.run(ADD)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --training-generate is about baselines that are written, and none are"])


def test_float64_has_one_baseline_for_all(project):
    """Nothing is added for it, and --training-strict takes it wherever it was made."""
    project.generate()
    move(project, "2.0.0", file="test_gate-test_training.json")
    before = set(project.files())
    project.run("--mpl", "--training-strict", passed=2)
    project.generate(ADD)

    assert set(project.files()) == before


@pytest.mark.long
def test_the_states_that_are_put_back_are_those_of_the_chosen_baseline(project, monkeypatch):
    """A loop is given its states before it trains; the nearest baseline has been chosen by then."""
    monkeypatch.setattr(variants, "KERNELS", [])
    monkeypatch.setattr(variants, "DRAWS", [])
    (project.path / "test_gate.py").unlink()
    project.write(test_loop=LOOP)
    project.generate()
    move(project, "2.0.0")
    project.generate(ADD)
    for file in project.baselines.glob(f"{SHARED.removesuffix('.json')}~*"):
        file.unlink()

    project.run("--training-strict", passed=1)


OTHERS = "test_loop-test_my_trainer,@aaaaaaaaaaaa.json"


@pytest.fixture
def nearer(loop):
    """The project with another environment's own baseline, which is nearer than the shared one."""
    (loop.baselines / OTHERS).write_bytes((loop.baselines / SHARED).read_bytes())
    move(loop, "0.0.0", file=OTHERS)
    record = Record.from_text((loop.baselines / SHARED).read_text())
    shared = replace(record, environment=record.environment | {"system": "Plan 9"})
    (loop.baselines / SHARED).write_text(shared.to_text())
    return loop


def test_no_result_becomes_the_baseline_of_another_environment(nearer):
    """That one would be red over it, or worse; the failure prints the command that adds one here."""
    nearer.edit("lr=0.1", "lr=0.2", file="test_loop.py")
    nearer.run(failed=1).stdout.fnmatch_lines([f"  accept     pytest {TEST} --mpl-generate-path=baselines {ADD}"])
    [kept] = candidates(nearer.path / "build" / "harness" / "failed")
    assert kept.file == OTHERS
    assert kept.obstacle


def test_a_failure_beside_another_environment_is_forgotten_when_this_one_has_its_own(nearer):
    """`harness accept` takes nothing that a later run has judged."""
    nearer.edit("lr=0.1", "lr=0.2", file="test_loop.py")
    nearer.run(failed=1)
    nearer.generate(ADD)

    assert not candidates(nearer.path / "build" / "harness" / "failed")


def test_beside_its_own_baseline_no_other_is_read(loop):
    """A broken one is for its environment to make anew: the command of this one's message could not."""
    move(loop, "2.0.0")
    loop.generate(ADD)
    (loop.baselines / SHARED).write_text("{")

    loop.run("--training-strict", passed=1)


def test_a_training_that_changes_to_float64_leaves_its_environments_behind(loop):
    """What is written is what is compared."""
    move(loop, "2.0.0")
    loop.generate(ADD)
    loop.edit('precision="float32"', 'precision="float64"', file="test_loop.py")
    loop.generate()

    loop.run(passed=1)


@pytest.mark.long
def test_a_loop_in_float64_may_ask_for_states(loop, monkeypatch):
    """They are stored, and --training-strict takes its baseline wherever it was made."""
    monkeypatch.setattr(variants, "DRAWS", variants.DRAWS[:1])
    loop.edit('precision="float32"', 'precision="float64", states=training_regression.states()', file="test_loop.py")
    loop.generate()
    assert any(name.endswith(".safetensors") for name in loop.files())
    move(loop, "2.0.0")
    loop.run("--training-strict", passed=1).stdout.no_fnmatch_line("*another environment*")


def test_only_missing_environments_are_added(loop):
    """A test that has a baseline may have none here; one that has is left alone."""
    move(loop, "2.0.0")
    loop.generate("--training-generate=missing,add")
    before = loop.files()
    assert len(own(loop)) == 1

    loop.edit("lr=0.1", "lr=0.2", file="test_loop.py")
    assert loop.generate("--training-generate=missing,add") == before
