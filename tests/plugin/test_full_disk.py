"""Promises where nothing can be written: one message, status 1 or a refusal at the start, nothing half written."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from matplotlib import pyplot

from harness.atomic_files import SCRAP, _beside
from tests.plugin.conftest import GENERATE
from tests.plugin.test_life_of_a_baseline import FIGURE, RECORD


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
REPORT = ("report.md", "results.json", "report.html")
MESSAGE = [
    "what this session found cannot be kept: No space left on device",
    "  where  *build/harness",
    "  fix    see to it that there is room, and that it can be written to, or name another folder: *",
]


@pytest.fixture
def green(project):
    """A project with baselines."""
    project.generate()
    return project


@pytest.fixture
def full(monkeypatch):
    """Function that lets a disk be full for files whose path has a part in it."""

    def fill(part):
        def beside(path, data, unfinished):
            if part in str(path):
                raise FULL
            return _beside(path, data, unfinished)

        monkeypatch.setattr("harness.atomic_files._beside", beside)

    return fill


def left_over(project):
    """Files that were not finished."""
    return [path for path in project.path.rglob("*") if path.name.endswith((SCRAP, ".tmp"))]


def with_an_old_report(project):
    """Leave what an earlier session wrote; return the folder."""
    folder = project.path / "build" / "harness"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*REPORT, "session.json"):
        (folder / name).write_text("old")
    return folder


def still_old(folder):
    """Files of the earlier session that stand as they stood."""
    return {path.name for path in folder.iterdir() if path.is_file() and path.read_text() == "old"}


@pytest.mark.parametrize("part", ["report.md", "results.json", "session.json"])
def test_a_disk_that_fills_up_at_the_end_is_one_message_and_status_1(green, full, part):
    """Whichever file it is: the comparisons stand in the output, and all files of the report are new, or none."""
    folder = with_an_old_report(green)
    full(part)
    result = green.run("--mpl", passed=2)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["2 compared (1 record, 1 figure), 0 generated, 0 not compared", *MESSAGE])
    assert result.stdout.str().count("what this session found cannot be kept") == 1
    assert ("report: " in result.stdout.str()) == (part == "session.json")
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert still_old(folder) == ({"session.json"} if part == "session.json" else {*REPORT})
    assert not left_over(green)


def test_a_page_that_finds_no_room_takes_the_whole_report_with_it(green, full):
    """The failures are told; no page of an earlier session stands beside results of this one."""
    green.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    folder = with_an_old_report(green)
    full("report.html")
    green.run("--mpl", failed=2).stdout.fnmatch_lines(MESSAGE)
    assert still_old(folder) == {*REPORT}
    assert not left_over(green)


def test_everything_full_is_still_one_message(green, full):
    """Report, notes and the results that could be accepted: one reason, said once; the failure itself is told."""
    green.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    full("build/harness/failed")
    result = green.run("--mpl", failed=2)

    result.stdout.fnmatch_lines(
        ["training differs from its baseline from the start: structure, learning_rate of the configuration"]
    )
    result.stdout.fnmatch_lines(["  accept     pytest 'test_gate.py::test_training*' --mpl-generate-path=baselines"])
    result.stdout.fnmatch_lines(MESSAGE)
    assert result.stdout.str().count("what this session found cannot be kept") == 1
    assert not list((green.path / "build/harness/failed").glob("*"))


def test_a_history_that_cannot_be_written_does_not_cost_the_report(green, full):
    """The session fails, says so, and leaves its report."""
    full("margins.jsonl")
    result = green.run("--mpl", "-o", "training_history=margins.jsonl")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["report: *", "the history of margins cannot be kept: No space left on device"])
    assert len(json.loads((green.path / "build/harness/results.json").read_text())["results"]) == 2


def test_a_full_disk_under_the_temporary_results_is_a_message(green, monkeypatch):
    """What a test's check found cannot be put aside for the report: it is told all the same."""

    def keep(*_):
        raise FULL

    monkeypatch.setattr("harness.report.json_form.keep", keep)
    result = green.run("--mpl", passed=2)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(MESSAGE)


@pytest.mark.parametrize(
    ("place", "option"),
    [("build", "--mpl"), ("build", GENERATE), ("build/harness", "--mpl"), ("build/harness/figures", "--mpl")],
)
def test_a_file_in_the_way_is_refused_before_any_training(project, place, option):
    """Exit status 4, nothing trained, and the file is as it was."""
    project.edit("return training(RECIPE)", "raise AssertionError('trained')")
    (project.path / place).parent.mkdir(parents=True, exist_ok=True)
    (project.path / place).write_text("mine")
    result = project.run(option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: what this session found cannot be kept: *", "  where  *build/harness"])
    assert "trained" not in result.stdout.str()
    assert (project.path / place).read_text() == "mine"


def test_a_project_without_tests_of_ours_may_have_a_file_there(project):
    """Whoever merely has the plugin installed owes us no folder."""
    (project.path / "test_gate.py").write_text("def test_plain():\n    pass\n")
    (project.path / "build").write_text("mine")

    project.run("--mpl", passed=1)
    assert (project.path / "build").read_text() == "mine"


def test_a_figure_that_cannot_be_saved_is_a_message_and_no_baseline(project, monkeypatch):
    """Half a picture is written, then the disk is full: neither this test nor the next makes it a baseline."""
    project.write(test_other=(project.path / "test_gate.py").read_text())

    def savefig(figure, path, **_):
        Path(path).write_bytes(b"\x89PNG half")
        raise FULL

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
    project.edit("return figures.loss_curve(record)", "import matplotlib.pyplot as plt\n    return plt.figure()")
    result = project.run(GENERATE)
    pyplot.close("all")  # pytest-mpl closes only what it could save

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["the baseline could not be written: No space left on device", f"  where  baselines/{FIGURE}"]
    )
    assert "Traceback" not in result.stdout.str()
    assert FIGURE not in project.files()
    assert not any(data.endswith(b"half") for data in project.files().values())
    assert not left_over(project)


def test_a_figure_that_cannot_be_compared_for_lack_of_room_is_a_message(green, monkeypatch):
    """The baselines stay as they were."""
    before = green.files()

    def savefig(*_, **__):
        raise FULL

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
    green.run("--mpl", passed=1, failed=1).stdout.fnmatch_lines(
        ["what this session found cannot be kept: No space left on device", "  where  build/harness/figures/test_gate*"]
    )
    assert green.files() == before


@pytest.mark.parametrize("name", [RECORD, FIGURE])
def test_a_disk_that_is_full_under_the_baselines_leaves_the_old_ones(green, full, name):
    """The test that would write it fails with a message; the other baseline is new."""
    before = green.files()
    green.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    full(f"baselines/{name}")
    green.run(GENERATE, **{"passed": 1, "failed": 1}).stdout.fnmatch_lines(
        ["the baseline could not be written: No space left on device"]
    )
    after = green.files()
    assert [file for file in after if after[file] == before[file]] == [name]


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"GIF89a", lambda data: b""])
def test_a_broken_figure_is_a_message_that_says_how_to_mend_it(green, damage):
    """Before pytest-mpl opens it; it is in the report, too."""
    path = green.baselines / FIGURE
    path.write_bytes(damage(path.read_bytes()))
    result = green.run("--mpl", passed=1, failed=1)

    result.stdout.fnmatch_lines(
        [
            "the baseline cannot be read: *",
            f"  where  baselines/{FIGURE}",
            f"  fix    restore it (git checkout -- baselines/{FIGURE}) or regenerate it: pytest *",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    found = json.loads((green.path / "build/harness/results.json").read_text())["results"]
    assert [result["verdict"] for result in found] == ["error", "same"]


def test_a_worker_that_is_refused_fails_its_tests(green):
    """A worker cannot end a session at its start: each test says why it did not run, and nothing is trained."""
    pytest.importorskip("xdist")
    green.edit("return training(RECIPE)", "raise AssertionError('trained')")
    shutil.rmtree(green.path / "build")
    (green.path / "build").write_text("mine")
    result = green.run("--mpl", "-n", "1", errors=2)

    result.stdout.fnmatch_lines(["what this session found cannot be kept: *"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert "trained" not in result.stdout.str()
