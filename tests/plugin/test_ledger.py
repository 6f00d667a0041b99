"""Promises of a session's proof: what its summary, results, ledger and exit status say is one story, and the truth."""

import random

import pytest

from harness.baselines.store import save_baseline
from harness.commands import main
from harness.record import Baseline, Record
from tests.sessions import disagreements, drawn, write
from tests.test_record import record_of


SAVED = """
from pathlib import Path

from harness import Record

def saved():
    return Record.from_text(Path("record.txt").read_text())
"""
"""What makes records without training."""


@pytest.fixture
def saved(project):
    """A project whose tests check a record that stands in a file."""
    project.path.joinpath("conftest.py").write_text("import sys; sys.path.insert(0, '.')")
    project.path.joinpath("record.txt").write_text(record_of({}).to_text())
    project.path.joinpath("saved.py").write_text(SAVED)
    project.path.joinpath("test_gate.py").unlink()
    return project


def lay_out(project, **files):
    """Write test files, one test a file, and their baselines."""
    record = Record.from_text((project.path / "record.txt").read_text())
    for file, (place, body) in files.items():
        folder = project.path / place
        folder.mkdir(exist_ok=True)
        text = f"import pytest\nfrom saved import saved\n\ndef test_it(training_regression):\n    {body}\n"
        (folder / f"test_{file}.py").write_text(text)
        save_baseline(project.baselines / f"{place}.test_{file}-test_it.json", Baseline(record))


CHECKS = "training_regression.check(saved())"


@pytest.mark.parametrize("seed", range(12))
def test_generated_sessions_tell_one_story(project, monkeypatch, seed):
    """Tests that check all, some, twice, in threads, skip, fail, are deselected: python -m tests.sessions has more."""
    session = drawn(random.Random(1000 + seed))
    if session.option == "CI":
        monkeypatch.setenv("CI", "1")
    project.path.joinpath("test_gate.py").unlink()
    result = project.run(*write(session, project.path))

    assert disagreements(session, project.path, int(result.ret), result.stdout.str()) == []


def test_a_test_that_checks_nothing_is_named_and_red_in_ci(saved, monkeypatch):
    """Elsewhere it passes: a test may be in the making."""
    lay_out(saved, a=("tests", "pass"), b=("tests", CHECKS))
    lines = ["1 of 2 baselines compared, 1 not reached", "  not reached: its test passed without checking it"]
    result = saved.run()
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(lines)

    monkeypatch.setenv("CI", "1")
    result = saved.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([*lines, "1 baseline not checked by the tests that own them"])


@pytest.mark.parametrize("touch", ["path.unlink()", "path.write_text(path.read_text() + ' ')"])
def test_a_test_cannot_write_its_own_baseline(saved, monkeypatch, touch):
    """Nor remove it: in CI a baseline is what it was when the session began."""
    path = saved.baselines / "tests.test_a-test_it.json"
    lay_out(saved, a=("tests", f"from pathlib import Path; path = Path({str(path)!r}); {touch}"))
    monkeypatch.setenv("CI", "1")
    result = saved.run()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["0 of 1 baseline compared, 1 not reached", "1 baseline written to, or removed, while they were compared"]
    )


@pytest.mark.parametrize("arguments", [["tests"], ["-k", "test_it"], ["tests/test_a.py"]])
def test_orphans_are_looked_for_in_the_whole_project(saved, arguments):
    """Whatever narrows a session: tests that it does not run own baselines all the same, and nobody owns the orphan."""
    lay_out(saved, a=("tests", CHECKS), b=("others", CHECKS))
    save_baseline(saved.baselines / "tests.test_gone-test_it.json", Baseline(record_of({})))
    result = saved.run("--training-strict", *arguments)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["1 baseline in baselines that no test claims", "  where  tests.test_gone-test_it.json"]
    )
    (saved.baselines / "tests.test_gone-test_it.json").unlink()
    assert saved.run("--training-strict", *arguments).ret == pytest.ExitCode.OK


def test_where_owners_are_not_known_strict_fails(saved):
    """A file that cannot be imported may own them."""
    lay_out(saved, a=("tests", CHECKS), b=("others", CHECKS))
    (saved.path / "others" / "test_b.py").write_text("import nothing_of_that_name")
    assert saved.run("tests").ret == pytest.ExitCode.OK
    result = saved.run("tests", "--training-strict")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["1 baseline in baselines whose tests are not known: not all tests could be collected"])


def test_the_jobs_of_a_matrix_are_one_verdict(saved, monkeypatch, capsys):
    """Each shard is green without the others; together they are, unless one is missing, or nobody owns a baseline."""
    lay_out(saved, a=("tests", CHECKS), b=("tests", CHECKS), c=("tests", CHECKS))
    for index in (1, 2):
        result = saved.run("--training-strict", f"--training-shard={index}/2")
        assert result.ret == pytest.ExitCode.OK
        result.assert_outcomes(passed=3 - index, deselected=index)
        (saved.path / "build" / "harness").rename(saved.path / f"job{index}")
    monkeypatch.chdir(saved.path)

    assert main(["report", "--strict", "job1", "job2"]) == 0
    assert "3 of 3 baselines compared" in capsys.readouterr().out
    assert main(["report", "--strict", "job1"]) == 1
    said = capsys.readouterr().err
    assert "shards are missing\n  where  2/2\n" in said
    assert "no job compared these baselines\n  where  tests.test_b-test_it.json\n" in said


def test_an_empty_shard_is_no_failure(saved):
    """There may be more jobs than files."""
    lay_out(saved, a=("tests", CHECKS))

    assert saved.run("--training-shard=2/2").ret == pytest.ExitCode.OK
    saved.run("--training-shard=3/2").stderr.fnmatch_lines(["*'3/2' is no part of a whole, such as 1/4"])
