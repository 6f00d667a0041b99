"""Promises of what a session leaves behind: the report, its JSON, and what CI is told."""

import json

import pytest
from filelock import FileLock, Timeout

from harness.commands import main
from harness.report.finding import Change
from harness.report.json_form import read
from tests.projects import FAULT


def results(project):
    """What the last session left, by test and name."""
    return {(found.test, found.name): found for found in read(project.path / "build/harness/results.json").results}


def page(project):
    """The report's text."""
    return (project.path / "build/harness/report.html").read_text(encoding="utf-8")


def test_a_red_session_leaves_a_report_that_the_failures_point_to(project):
    """Training and figure are in it, with their pictures; the training's failure names it, and so does the summary."""
    project.generate()
    project.edit(*FAULT)
    result = project.run("--mpl")

    result.stdout.fnmatch_lines(["  look       build/harness/report.html", "report: build/harness/report.html"])
    found = results(project)
    training, figure = found["test_gate.py::test_training[cpu]", ""], found["test_gate.py::test_loss_curve[cpu]", ""]
    source = (project.path / "test_gate.py").read_text().splitlines()
    assert (training.verdict, training.passed, training.file) == ("different", False, "test_gate.py")
    assert source[training.line - 1].startswith("def test_training(")
    assert training.training.first.stage == "structure"
    assert training.training.recipe == [Change(name="learning_rate", before="0.25", now="0.25025")]
    assert figure.figure.rms > 2
    assert figure.figure.of == training.test
    assert training.training.rows[0].stage == "data"
    assert read(project.path / "build/harness/results.json").run.project == project.path.name
    assert figure.margin == pytest.approx(figure.figure.rms / 2)
    assert page(project).count('src="data:image/png;base64,') == 5  # with axes and without, and a thumbnail


def test_the_report_can_be_made_anew_elsewhere(project, capsys):
    """`harness report` on the folder, moved as an artifact is, writes the page that the session wrote."""
    project.write(test_gate=FIGURES)
    project.pytester.makeini("[pytest]\ntraining_baselines = baselines")
    project.generate()
    project.edit("(1, height)", "(2, height)")
    project.run("--mpl", failed=3)
    written = page(project)
    place = project.path / "artifact"
    (project.path / "build/harness").rename(place)
    (place / "report.html").unlink()
    capsys.readouterr()

    assert main(["report", str(place)]) == 0
    assert (place / "report.html").read_text() == written
    assert capsys.readouterr().out.startswith("3 of 3 checks failed: 3 different\n  different  test_gate.py::test_")


def test_a_green_session_leaves_its_margins(project):
    """On a pass there is a report, too, as a page where one asks for it, with a thumbnail of each figure."""
    project.generate()
    line = "report: build/harness/report.md; as a page: harness report --open"
    project.run("--mpl").stdout.fnmatch_lines([line])

    assert {key: (result.verdict, result.margin) for key, result in results(project).items()} == {
        ("test_gate.py::test_training[cpu]", ""): ("same", 0.0),
        ("test_gate.py::test_loss_curve[cpu]", ""): ("same", 0.0),
    }
    assert not (project.path / "build/harness/report.html").exists()
    assert main(["report", "--root", str(project.path)]) == 0
    assert page(project).count('src="data:image/png;base64,') == 1


def test_a_green_session_takes_the_page_of_a_red_one_away(project):
    """Nobody opens what is no longer so."""
    project.generate()
    project.edit(*FAULT)
    project.run("--mpl")
    assert "different" in page(project)
    project.edit(*FAULT[::-1])
    project.run("--mpl", passed=2)

    assert not (project.path / "build/harness/report.html").exists()


def test_a_session_does_not_inherit_results(project):
    """After a run of everything, a run of one test reports that test alone."""
    project.generate()
    project.run("--mpl")
    project.run("--mpl", "-k", "test_training")

    assert set(results(project)) == {("test_gate.py::test_training[cpu]", "")}


def test_a_missing_baseline_is_in_the_report(project):
    """What could not be compared, record or figure, is an error there, with the message."""
    project.run("--mpl")

    for found in results(project).values():
        assert (found.kind, found.verdict, found.passed, found.margin) == ("error", "error", False, None)
    training, figure = (results(project)[f"test_gate.py::test_{name}[cpu]", ""] for name in ("training", "loss_curve"))
    assert training.text.startswith("there is no baseline for this training yet")
    assert figure.text.startswith("there is no baseline for this figure yet")


def test_a_session_that_checks_nothing_leaves_no_report(project):
    """Neither generating nor other tests touch the report."""
    project.generate()
    project.write(test_gate="def test_plain():\n    pass\n")
    project.run("--mpl")

    assert not (project.path / "build/harness/report.html").exists()


def test_github_sees_failures_at_the_tests_lines(project, monkeypatch):
    """In a job, each failure is annotated and the job's summary grows by the session's; JUnit has the verdicts."""
    project.generate()
    project.edit(*FAULT)
    summary = project.path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    result = project.run("--mpl", "--junit-xml=junit.xml")

    place = f"file={project.path.name}/test_gate.py,line="
    told = [line for line in result.outlines if line.startswith("::error ")]
    assert len(told) == 2
    assert all(place in line for line in told)
    assert "title=training differs from its baseline from the start%3A structure%2C" in told[0]
    assert summary.read_text().startswith("before\n### Training regression: 2 of 2 checks failed: 2 different")
    junit = (project.path / "junit.xml").read_text()
    assert '<property name="training_verdict" value="different"' in junit
    assert '<property name="first_divergence" value="step 0, structure, learning_rate of the configuration' in junit


def test_outside_of_github_nothing_is_annotated(project):
    """A terminal is not told what only GitHub understands."""
    result = project.run()

    assert "::error" not in result.stdout.str()


FIGURES = """
import pytest
from matplotlib.figure import Figure

@pytest.mark.mpl_image_compare
@pytest.mark.parametrize("height", [1, 2, 3])
def test_figure(height):
    return Figure(figsize=(1, height))
"""


def test_workers_hand_their_results_to_one_report(project):
    """Under xdist the controller's report holds every worker's checks, each once."""
    pytest.importorskip("xdist")
    project.write(test_gate=FIGURES)
    project.pytester.makeini("[pytest]\ntraining_baselines = baselines")
    project.generate()
    project.run("--mpl", "-n", "2", passed=3).stdout.fnmatch_lines(["report: build/harness/report.md; *"])
    assert {test for test, _ in results(project)} == {f"test_gate.py::test_figure[{height}]" for height in (1, 2, 3)}


def test_margins_are_kept_where_the_project_wants_them(project):
    """The ini option names a file; a file that cannot be is a usage error."""
    project.write(test_gate=FIGURES)
    project.pytester.makeini("[pytest]\ntraining_baselines = baselines\ntraining_history = cache/margins.jsonl")
    project.generate()
    project.run("--mpl")
    project.run("--mpl", "-k", "1")

    lines = (project.path / "cache/margins.jsonl").read_text().splitlines()
    assert [json.loads(line)["margin"] for line in lines] == [0.0] * 4
    assert [len(result.history) for result in results(project).values()] == [1]
    refused = project.run("--mpl", "-o", "training_history=baselines")
    refused.stderr.fnmatch_lines(["ERROR: the history of margins cannot be kept: Is a directory"])


def test_sessions_that_end_at_once_add_to_the_history_one_after_another(project, monkeypatch):
    """While one reads and writes it, another waits, so that no margin is lost."""
    project.generate()
    held = []

    def remember(_, results):
        with pytest.raises(Timeout):
            FileLock(project.path / "build/harness/.history.lock").acquire(blocking=False)
        held.append(True)
        return results

    monkeypatch.setattr("harness.report.history.remember", remember)
    project.run("--mpl", "-o", "training_history=margins.jsonl", passed=2)

    assert held
