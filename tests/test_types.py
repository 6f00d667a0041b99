"""Promises to type checkers: they know every public name, and no other."""

import re
from pathlib import Path

import pytest

import harness


ROOT = Path(harness.__file__).parents[1]
PROGRAM = """
import harness
from harness import Deviation, Recorder, States, TrainingRegression

def test_it(training_regression: TrainingRegression) -> None:
    states: States | None = training_regression.states()
    with Recorder(precision="float32", states=states) as recorder:
        pass
    losses: tuple[float | int | str, ...] = recorder.record.streams["loss"].values
    first: Deviation = harness.compare(recorder.record, recorder.record).deviations[0]
    training_regression.check(recorder.record, name=harness.__version__)
"""


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """What mypy says of a program, in its strictest form."""
    api = pytest.importorskip("mypy.api", reason="mypy is not installed")
    monkeypatch.setenv("MYPYPATH", str(ROOT))

    def check(program):
        (tmp_path / "program.py").write_text(program)
        settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
        said, trouble, _ = api.run([*settings, "--strict", str(tmp_path / "program.py")])
        assert not trouble
        return re.findall(r"error: (.*?)  \[", said)

    return check


def test_what_users_annotate_is_known(checked):
    """The public classes can be named, and what they hand out has types."""
    assert checked(PROGRAM) == []


def test_a_name_that_is_not_there_is_refused(checked):
    """A misspelt name is found before the program runs, in a package whose names are resolved late."""
    assert checked("import harness\n\nharness.Recpie()\n") == ['Module has no attribute "Recpie"; maybe "Recipe"?']


def test_the_version_is_the_distributions():
    """One source for what `harness.__version__` says."""
    assert f'\nversion = "{harness.__version__}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
