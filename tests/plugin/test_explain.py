"""Promises of `harness explain` to a user: what it prints of a red test, and what it needs."""

import subprocess

import pytest

from harness.commands import main
from tests.projects import loop_test


LOOP = loop_test("test_training", "(model(inputs) * scale(step)).square().sum()", imports="from net import scale")
FACTOR = "float(Path('made.txt').read_text())"
NET = "def scale(step):\n    return 1.0 if step < 3 else 0.5\n"


@pytest.fixture
def committed(project, monkeypatch, tmp_path):
    """A project whose baseline is in git, and a function that commits an edit of its net."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (project.path / "test_gate.py").unlink()
    project.write(test_loop=LOOP, net=NET)
    (project.path / "pytest.ini").write_text("[pytest]\n")

    def commit(message):
        for words in (["init", "-q"], ["add", "*.py", "*.ini", "baselines"], ["commit", "-qm", message]):
            identity = ["-c", "user.name=user", "-c", "user.email=user@example.org"]
            subprocess.run(["git", *identity, *words], cwd=project.path, check=True, capture_output=True)

    project.generate()
    commit("Its baseline")
    project.commit = commit
    return project


def test_a_red_training_is_explained(committed, capsys):
    """A fault at a later step: operation, line and hunk, with exit status 1; in the report, too. The tree is gone."""
    committed.edit("else 0.5", "else 0.25", "net.py")
    committed.commit("Softer")
    committed.run()
    capsys.readouterr()
    assert main(["explain", "test_loop.py"]) == 1
    out = capsys.readouterr().out

    assert out.startswith("training differs from its baseline from step 3 on: forward, loss\n")
    assert "  commit     " in out
    assert '"Its baseline", today\n' in out
    assert "  where      test_loop.py:14 in test_training      aten.mul gives " in out
    assert "  runs now   net.py:2      return 1.0 if step < 3 else 0.25\n" in out
    assert "             -    return 1.0 if step < 3 else 0.5\n" in out
    assert main(["report"]) == 0
    assert "runs now   net.py:2" in (committed.path / "build" / "harness" / "report.html").read_text()
    trees = subprocess.run(["git", "worktree", "list"], cwd=committed.path, capture_output=True, text=True, check=True)
    assert len(trees.stdout.splitlines()) == 1


@pytest.mark.long
def test_a_test_is_explained_against_any_commit(committed, capsys):
    """Though no result of it is kept: one that is named, or that was red when it was held against a commit."""
    committed.edit("else 0.5", "else 0.25", "net.py")
    committed.commit("Softer")

    assert main(["explain", "--against", "HEAD", "test_loop.py::test_training"]) == 0
    assert "trains as the present code does" in capsys.readouterr().out
    assert committed.run("--mpl", "--training-against=HEAD~1").ret == 1
    capsys.readouterr()
    assert main(["explain"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("training differs from HEAD~1 (")
    assert "  runs now   net.py:2" in out


@pytest.mark.long
def test_a_commit_is_made_ready_and_lent_the_test(committed, capsys):
    """By the user's command; what it reads there, and not here, is what differs."""
    committed.write(test_new=LOOP.replace("net import scale", "pathlib import Path").replace("scale(step)", FACTOR))
    (committed.path / "made.txt").write_text("2.0")

    assert main(["explain", "--against", "HEAD", "--setup", "echo 1.0 > made.txt", "test_new.py::test_training"]) == 1
    out = capsys.readouterr().out
    assert ", today, with today's test_new.py\n" in out
    assert "  where      test_new.py:14 in test_training      " in out


@pytest.mark.long
def test_a_commit_that_lacks_what_it_needs_is_named(committed, capsys):
    """With what it needs, and exit status 2."""
    committed.edit("def scale", "import not_there\n\ndef scale", "net.py")
    committed.commit("Another library")
    committed.edit("import not_there\n\n", "", "net.py")
    committed.edit("else 0.5", "else 0.25", "net.py")
    committed.run()
    capsys.readouterr()

    assert main(["explain", "--against", "HEAD"]) == 2
    error = capsys.readouterr().err
    assert "cannot run this test: ModuleNotFoundError: No module named 'not_there'" in error
