"""Promises of --training-slower: a training that is the same, but slower than at another commit, fails."""

from types import SimpleNamespace

import pytest

from harness.elsewhere.asked import Asked
from harness.elsewhere.cost import Cost
from harness.elsewhere.rerun import Reruns
from harness.plugin.cost import cost
from harness.recording.perturbation import Rerun
from tests.plugin.test_against import cache, committed, name_of  # noqa: F401 # fixtures


TEST = "test_gate.py::test_training*"
TEXT = "step 12.5 ms, 10 ms at main (*): x 1.25 (1.22 to 1.30)"


@pytest.fixture
def measured(committed, monkeypatch):  # noqa: F811
    """A project whose training takes a quarter more than on main: nothing runs, and what would have is kept."""
    ran = []

    def measure(there, here, at, seconds, budget, most):
        ran.extend([there(Rerun("a")), here(Rerun("b")), at, seconds > 0])
        return Cost(at=at, step=0.0125, former_step=0.01, ratio=1.25, smallest=1.22, largest=1.3)

    monkeypatch.setattr("harness.plugin.cost.measure", measure)
    monkeypatch.setattr(Reruns, "run", lambda reruns, *asked: (reruns._directory, *asked))
    committed.ran = ran
    return committed


def test_the_cost_of_a_training_is_told(measured):
    """Of each record once, also where a limit allows it: of the same test in the tree of main, and here."""
    measured.run("--mpl", "--training-against=main", "--training-slower=1.22", passed=2).stdout.fnmatch_lines(
        [f"cost   {TEXT}   {TEST}"]
    )
    there, here, at, known = measured.ran
    assert (there[1:], here) == (
        ("test_gate.py::test_training[cpu]", "", Rerun("a")),
        (measured.path, "test_gate.py::test_training[cpu]", "", Rerun("b")),
    )
    assert (there[0] == measured.path, at, known) == (False, name_of(measured), True)


def test_a_step_of_a_search_measures_no_cost(measured, monkeypatch):
    """And calls the commit as the user did."""
    monkeypatch.setenv(*Asked(against="v1.2 (9f8e7d2)", costs=False).variables.popitem())
    result = measured.run("--training-against=main", "-k", "test_training")

    result.stdout.fnmatch_lines(["1 of 2 baselines compared, 1 deselected, of v1.2 (9f8e7d2)"])
    assert measured.ran == []


def test_a_training_beyond_the_limit_fails(measured, monkeypatch):
    """Its message, and the line that sums it up, say by how much."""
    monkeypatch.setenv("COLUMNS", "200")
    result = measured.run("--mpl", "--training-against=main", "--training-slower=1.2", passed=1, failed=1)

    headline = "training is slower than at main (*): x 1.25 (1.22 to 1.30), allowed x 1.2"
    recipe = f"  recipe     cifar_cnn, synthetic, float64, cpu   {TEST}"
    result.stdout.fnmatch_lines([headline, f"  cost       {TEXT}", recipe, f"cost   {TEXT}   {TEST}"])
    result.stdout.fnmatch_lines([f"FAILED {TEST} - {headline}"])
    assert "1 of 2 checks failed: 1 slower" in (measured.path / "build/harness/report.md").read_text()


@pytest.mark.parametrize("ratio", ["1", "0.9", "20%", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(project, ratio):
    """Before anything is trained."""
    result = project.run("--training-against=main", f"--training-slower={ratio}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*'{ratio}' is no number above 1, such as 1.2"])


def test_a_limit_without_another_commit_is_refused(project):
    """There is nothing to be slower than: stored baselines hold no times."""
    result = project.run("--training-slower=1.2")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --training-slower is about what trainings were at another commit*"])


def test_a_session_spends_a_minute_on_costs():
    """Of the trainings that come later it says so, unless a limit has to be judged."""
    session = SimpleNamespace(slowest=0.0, seconds_for_costs=-1.0)
    checked = SimpleNamespace(test=SimpleNamespace(session=session), record=None)

    assert cost(checked, SimpleNamespace(title="main")).unknown == "a session takes 60 s for this, and they are over"
