"""Promises of --training-slower: a training that is the same, but slower than at another commit, fails."""

from types import SimpleNamespace

import pytest

from harness.elsewhere.cost import Cost
from harness.plugin import options
from harness.plugin.session import Session


AT = "main (9f8e7d2)"
SLOW = Cost(at=AT, step=0.0125, former_step=0.01, ratio=1.25, smallest=1.22, largest=1.3)
TEXT = "step 12.5 ms, 10 ms at main (9f8e7d2): x 1.25 (1.22 to 1.30)"


@pytest.fixture
def measured(project, monkeypatch):
    """A session against another commit, in whose processes nothing runs: what both sides ran, and for how long."""
    asked = []

    def measure(there, here, at, seconds):
        asked.append((there(None), there.args, here.args, at, seconds > 0))
        return SLOW

    there = SimpleNamespace(run=lambda test, name, how: "there")
    monkeypatch.setattr(Session, "against", SimpleNamespace(text=AT, reruns=there))
    monkeypatch.setattr("harness.plugin.cost.measure", measure)
    monkeypatch.setattr(options, "check_slower", lambda config: None)
    project.generate()
    return asked


def test_the_cost_of_a_training_is_told(project, measured):
    """Of each record once, also where a limit allows it; figures have none."""
    result = project.run("--mpl", "--training-slower=1.22")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"cost   {TEXT}   test_gate.py::test_training*"])
    run = ("test_gate.py::test_training[cpu]", "")
    assert measured == [("there", run, run, AT, True)]


def test_a_training_beyond_the_limit_fails(project, measured, monkeypatch):
    """Its message, and the line that sums it up, say by how much."""
    monkeypatch.setenv("COLUMNS", "200")
    result = project.run("--mpl", "--training-slower=1.2")

    result.assert_outcomes(passed=1, failed=1)
    headline = f"training is slower than at {AT}: x 1.25 (1.22 to 1.30), allowed x 1.2"
    recipe = "  recipe     cifar_cnn, synthetic, float64, cpu   test_gate.py::test_training*"
    result.stdout.fnmatch_lines(
        [headline, f"  cost       {TEXT}", recipe, f"cost   {TEXT}   test_gate.py::test_training*"]
    )
    result.stdout.fnmatch_lines([f"FAILED test_gate.py::test_training* - {headline}"])
    assert "1 of 2 checks failed: 1 slower" in (project.path / "build/harness/report.md").read_text()


def test_a_session_that_is_held_against_nothing_measures_no_cost(project, measured, monkeypatch):
    """Stored baselines hold no times: another machine made them."""
    monkeypatch.setattr(Session, "against", None)

    project.run("-k", "test_training").stdout.no_fnmatch_line("cost *")
    assert not measured


@pytest.mark.parametrize("ratio", ["1", "0.9", "20%", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(project, ratio):
    """Before anything is trained."""
    result = project.run(f"--training-slower={ratio}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*'{ratio}' is no number above 1, such as 1.2"])


def test_a_limit_without_another_commit_is_refused(project):
    """There is nothing to be slower than."""
    result = project.run("--training-slower=1.2")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --training-slower is about what trainings were at another commit*"])
