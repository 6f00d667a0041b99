"""Promises of the entry point: a project with a package `harness` of its own can run pytest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from tests.projects import QUICK


OURS = Path(harness.__file__).parent
ENTRY = OURS / "entry"
PLUGIN = ("-p", "no:training_regression", "-p", "pytest_training_regression")
"""The entry point by the name of its module: what pytest loads itself is that of the environment."""


def run(folder, *args, console=True):
    """Run pytest as its console script does, or as `python -m pytest`, which puts the folder on the path."""
    program = ["-c", "import pytest; raise SystemExit(pytest.console_main())"] if console else ["-m", "pytest"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ENTRY), str(OURS.parent)])}
    command = [sys.executable, *(["-P"] if console else []), *program, "-p", "no:cacheprovider", *QUICK, *PLUGIN, *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path):
    """A project with a package `harness` that has nothing to do with ours."""
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("theirs = True\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (tmp_path / "test_theirs.py").write_text("from harness import theirs\n\ndef test_theirs(): assert theirs\n")
    return tmp_path


@pytest.mark.parametrize("console", [True, False])
def test_a_projects_own_package_harness_wins_and_is_named(project, console):
    """Whether it is on the path already when the plugin is loaded, or will be: pytest runs, without the gate."""
    result = run(project, "-q", console=console)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout
    assert (
        f"training regression: off, since {project / 'harness'} hides `harness` of "
        "pytest-training-regression; rename it, or run pytest with -p no:training_regression"
    ) in result.stdout


@pytest.mark.parametrize("place", ["harness.py", "tests/harness.py", "tests/harness/__init__.py"])
def test_a_module_harness_beside_the_tests_wins_and_is_named(project, place):
    """A folder of tests comes on the path where it is no package; `tests/harness.py` is a usual helper."""
    (project / "tests").mkdir()
    (project / "test_theirs.py").rename(project / "tests" / "test_theirs.py")
    (project / "harness").rename(project / "elsewhere")
    (project / place).parent.mkdir(exist_ok=True)
    (project / place).write_text("theirs = True\n")
    result = run(project, "-q")

    assert "1 passed" in result.stdout, result.stdout + result.stderr
    assert f"off, since {(project / place.removesuffix('/__init__.py'))} hides `harness`" in result.stdout


def test_a_gate_that_is_hidden_is_not_green(project):
    """A project that sets the gate up gets the sentence as an error."""
    (project / "pytest.ini").write_text("[pytest]\npythonpath = .\ntraining_baselines = baselines\n")
    result = run(project)

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: training regression: off, since " in result.stderr


LOADED = "import sys\n\ndef test_loaded(): assert 'harness.plugin' in sys.modules\n"


def test_a_folder_that_is_no_package_hides_nothing(project):
    """Nor does one in a folder above the project's root."""
    (project / "harness" / "__init__.py").unlink()
    (project / "test_theirs.py").write_text(LOADED)
    assert "1 passed" in run(project).stdout
    (project / "harness" / "__init__.py").touch()
    (inner := project / "inner").mkdir()
    (inner / "pytest.ini").write_text("[pytest]\n")
    (inner / "test_ours.py").write_text(LOADED)
    assert "1 passed" in run(inner).stdout
