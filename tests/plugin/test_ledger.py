"""Promises of a session's proof: what its summary, results, ledger and exit status say is one story, and the truth."""

import random

import pytest

from harness.baselines.store import save_baseline
from harness.commands import main
from harness.record import Baseline, Record
from harness.report.json_form import read
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


def test_where_every_test_is_deselected_strict_fails_as_elsewhere(saved):
    """With the status of a failure, not with pytest's own for no tests."""
    lay_out(saved, a=("tests", CHECKS))
    result = saved.run("--training-strict", "-k", "nothing")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["none of 1 baseline was compared"])


def test_what_a_swallowed_check_found_is_said(saved):
    """Its test has printed nothing, and the session is red."""
    lay_out(saved, a=("tests", f"with pytest.raises(Exception): {CHECKS}"))
    (saved.baselines / "tests.test_a-test_it.json").unlink()
    result = saved.run()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    found = "there is no baseline for this training yet"
    result.stdout.fnmatch_lines(
        ["a check failed, but its test did not", f"  where  tests/test_a.py::test_it ({found})"]
    )


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


@pytest.mark.long
def test_of_four_shards_the_missing_one_is_named(saved, monkeypatch, capsys):
    """And with it the baselines that nobody compared."""
    lay_out(saved, a=("tests", CHECKS), b=("tests", CHECKS), c=("tests", CHECKS), d=("tests", CHECKS))
    for index in (1, 2, 4):
        assert saved.run("--training-strict", f"--training-shard={index}/4").ret == pytest.ExitCode.OK
        (saved.path / "build" / "harness").rename(saved.path / f"job{index}")
    monkeypatch.chdir(saved.path)

    assert main(["report", "--strict", "job1", "job2", "job4"]) == 1
    said = capsys.readouterr().err
    assert "shards are missing\n  where  3/4\n" in said
    assert "no job compared these baselines\n  where  tests.test_c-test_it.json\n" in said


def test_an_empty_shard_is_no_failure(saved):
    """There may be more jobs than files."""
    lay_out(saved, a=("tests", CHECKS))

    assert saved.run("--training-shard=2/2").ret == pytest.ExitCode.OK
    saved.run("--training-shard=3/2").stderr.fnmatch_lines(["*'3/2' is no part of a whole, such as 1/4"])


def test_no_session_is_told_to_end_well(saved):
    """Neither by a test after one that failed, nor by a conftest.py."""
    lay_out(saved, a=("tests", "training_regression.check(saved(), name='new')"))
    (saved.path / "tests" / "test_z.py").write_text("import pytest\ndef test_z(): pytest.exit('enough', returncode=0)")
    assert saved.run().ret == pytest.ExitCode.TESTS_FAILED

    (saved.path / "tests" / "test_z.py").unlink()
    hook = "\nimport pytest\n@pytest.hookimpl(trylast=True)\ndef pytest_sessionfinish(session): session.exitstatus = 0"
    with (saved.path / "conftest.py").open("a") as file:
        file.write(hook)
    assert saved.run().ret == pytest.ExitCode.TESTS_FAILED


def test_a_file_that_is_skipped_when_it_is_collected_is_in_the_ledger(saved):
    """With its reason; and where nothing at all is compared, strict fails."""
    lay_out(saved, a=("tests", CHECKS), b=("tests", CHECKS))
    path = saved.path / "tests" / "test_b.py"
    path.write_text("import pytest\npytest.importorskip('nothing_of_that_name')\n" + path.read_text())
    result = saved.run("--training-strict")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "1 of 2 baselines compared, 1 skipped",
            "  skipped: could not import 'nothing_of_that_name'*",
            "    *   tests/test_b.py",
        ]
    )

    (saved.path / "tests" / "test_a.py").write_text(
        "import pytest\ndef test_it(training_regression): pytest.skip('slow')"
    )
    result = saved.run("--training-strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["none of 2 baselines was compared"])


def test_a_training_that_differs_from_try_to_try_is_red_in_ci(saved, monkeypatch):
    """A rerun does not undo what the first try found."""
    body = "from pathlib import Path; tried = Path('tried'); first = not tried.exists(); tried.touch()"
    lay_out(
        saved,
        a=("tests", f"{body}; record = saved(); training_regression.check(record if not first else other(record))"),
    )
    with (saved.path / "saved.py").open("a") as file:
        file.write(
            "\n\nimport dataclasses\ndef other(record): return dataclasses.replace(record, precision='float32')\n"
        )
    path = saved.path / "tests" / "test_a.py"
    path.write_text(path.read_text().replace("import saved", "import other, saved"))
    monkeypatch.setenv("CI", "1")
    result = saved.pytester.runpytest_inprocess("-p", "no:randomly", "--reruns", "1")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["a check failed, and passed when its test was run again: *", "  where  tests/test_a.py*"]
    )


def test_what_is_written_anew_proves_nothing(saved, monkeypatch, capsys):
    """Strict does not generate, the jobs of a matrix do not count it, and one part of one is the whole."""
    lay_out(saved, a=("tests", CHECKS))
    saved.run("--training-strict", "--mpl-generate-path=baselines").stderr.fnmatch_lines(
        ["ERROR: baselines are written, and --training-strict compares"]
    )
    assert saved.run("--mpl-generate-path=baselines").ret == pytest.ExitCode.OK
    monkeypatch.chdir(saved.path)
    assert main(["report", "--strict"]) == 1
    assert "no job compared these baselines" in capsys.readouterr().err
    assert saved.run("--training-shard=1/1", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_old_report_speaks_for_no_session(saved, monkeypatch):
    """In CI it is gone when a session begins, and what made a session red stands in its results."""
    lay_out(saved, a=("tests", "pass"))
    monkeypatch.setenv("CI", "1")
    assert saved.run().ret == pytest.ExitCode.TESTS_FAILED
    results = saved.path / "build" / "harness" / "results.json"
    assert read(results).ledger.problems == ["1 baseline not checked by the tests that own them"]
    (saved.path / "tests" / "test_a.py").unlink()
    (saved.baselines / "tests.test_a-test_it.json").unlink()
    (saved.path / "tests" / "test_b.py").write_text("def test_b(): pass")
    assert saved.run().ret == pytest.ExitCode.OK
    assert not results.exists()


def test_a_figure_that_pytest_mpl_let_pass_is_compared_all_the_same(project, monkeypatch):
    """By a hash that fits, or since another runner called the test."""
    project.generate()
    project.edit("warmup_steps=1", "warmup_steps=1, learning_rate=0.06")
    monkeypatch.setattr("pytest_mpl.plugin.ImageComparison.compare_image_to_baseline", lambda *given, **named: None)
    project.run("--mpl", "-k", "curve", failed=1, deselected=1).stdout.fnmatch_lines(
        ["the figure was compared with no picture, and pytest-mpl let it pass"]
    )
