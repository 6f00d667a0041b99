"""Promises of identity: no two tests share a baseline or a finding, and no baseline is the result that it judges."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import errors
from harness.plugin.gated_test import _from_root, id_of
from harness.plugin.settings import Settings
from tests.plugin.conftest import GENERATE


TEST = """
from tests.test_record import record_of
from harness.record import Stream

def test_t(training_regression):
    training_regression.check(record_of({"loss": Stream("forward", (0,), (VALUE,))}))
"""
NAMES = {f"%2E%2E.tests.{folder}.test_x-test_t.json" for folder in "ab"}


@pytest.fixture
def outside(project):
    """A project whose root is beside its tests: pytest has one id for both."""
    for folder, value in (("a", 1.0), ("b", 2.0)):
        (project.path / "tests" / folder).mkdir(parents=True)
        (project.path / "tests" / folder / "test_x.py").write_text(TEST.replace("VALUE", str(value)))
    (project.path / "ci").mkdir()
    (project.path / "ci" / "pytest.ini").write_text("[pytest]\ntraining_baselines = ../baselines\n")
    (project.path / "test_gate.py").unlink()
    return project


def run(outside, *options):
    """Run both tests from the root beside them."""
    return outside.run("-c", "ci/pytest.ini", "--import-mode=importlib", "tests/a", "tests/b", *options)


def test_tests_with_one_node_id_have_baselines_and_findings_of_their_own(outside):
    """Named by their paths; where both fail, both failures are kept, and commands name one test and its root."""
    run(outside, GENERATE).assert_outcomes(passed=2)
    assert set(outside.files()) == NAMES
    run(outside).assert_outcomes(passed=2)

    for folder in "ab":
        outside.edit("(0,), (", "(0,), (3 + ", file=f"tests/{folder}/test_x.py")
    result = run(outside)
    result.assert_outcomes(failed=2)
    output = outside.path / "ci" / "build" / "harness"
    found = json.loads((output / "results.json").read_text())["results"]
    assert [finding["test"] for finding in found] == [f"../tests/{folder}/test_x.py::test_t" for folder in "ab"]
    command = "pytest tests/a/test_x.py::test_t --mpl-generate-path=baselines --config-file=ci/pytest.ini"
    assert command in result.stdout.str()

    run(outside, "-k", "nothing")
    result = run(outside, GENERATE, "--training-generate=missing")
    result.assert_outcomes(deselected=2)
    (outside.baselines / min(NAMES)).unlink()
    run(outside, GENERATE, "--training-generate=missing").assert_outcomes(passed=1, deselected=1)


def test_ids_of_tests_below_the_root_are_pytest_s(project):
    """So are the names of their baselines."""
    project.write(test_other="class TestA:\n    def test_b(self, training_regression):\n        pass\n")
    items, _ = project.pytester.inline_genitems()

    assert [id_of(item) for item in items] == [item.nodeid for item in items]


def test_a_path_is_taken_from_the_root(tmp_path):
    """With .. where it is outside, whatever link leads to the root, and unlike any other."""
    root, link = tmp_path / "real" / "root", tmp_path / "link"
    (root / "sub").mkdir(parents=True)
    link.symlink_to("real")
    (root / "loop").symlink_to(".")

    assert _from_root(root / "sub" / "t.py", root) == "sub/t.py"
    assert _from_root(root / "loop" / "t.py", root) == "loop/t.py"
    assert _from_root(link / "root" / "sub" / "t.py", root) == "sub/t.py"
    assert _from_root(tmp_path / "a" / "t.py", root) == "../../a/t.py"


def test_a_path_on_another_drive_is_its_own(tmp_path, monkeypatch):
    """There is no way from one drive of Windows to another."""

    def relpath(*_):
        raise ValueError

    monkeypatch.setattr("os.path.relpath", relpath)

    assert _from_root(Path("/elsewhere/t.py"), tmp_path) == "/elsewhere/t.py"


def settings(root, ini="", **options):
    """What a session goes by, under the root."""
    given = {"--" + name.replace("_", "-"): value for name, value in options.items()}
    return Settings(
        SimpleNamespace(
            rootpath=root,
            invocation_params=SimpleNamespace(dir=root, args=()),
            pluginmanager=SimpleNamespace(hasplugin=lambda name: True),
            getoption=lambda name, default=None: given.get(name, default),
            getini=lambda name: ini if name == "training_baselines" else "",
        )
    )


def test_baselines_are_not_read_through_a_link(tmp_path):
    """Of the folder, or above it in the project; nor written, since nobody would read them."""
    (tmp_path / "real" / "baselines").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "baselines").symlink_to("real/baselines")

    assert settings(tmp_path, "real/baselines").baselines == tmp_path / "real" / "baselines"
    for ini in ("", "link/baselines"):
        with pytest.raises(errors.SuiteError, match="read through a link to real"):
            _ = settings(tmp_path, ini).baselines


@pytest.mark.parametrize("name", ["", "/figures", "/failed"])
def test_results_are_no_baselines(tmp_path, monkeypatch, name):
    """What this session draws or keeps would be compared with itself, whatever it is called."""
    monkeypatch.chdir(tmp_path)
    own = f"build/harness{name}"
    (tmp_path / "cache").mkdir()

    for option in ({"ini": own}, {"mpl_baseline_path": own}, {"ini": "cache/x", "mpl_results_path": "cache"}):
        with pytest.raises(errors.SuiteError, match="where this session leaves its results"):
            _ = settings(tmp_path, **option).baselines
    assert settings(tmp_path, "cache", mpl_results_path="cache/x").baselines == tmp_path / "cache"


FIGURE_AMONG_RESULTS = """
import pytest
from matplotlib.figure import Figure

@pytest.mark.mpl_image_compare(baseline_dir="build/harness/figures/test_gate.test_f", filename="result.png")
def test_f(device):
    return Figure()
"""


def test_a_figure_is_not_compared_with_itself(project):
    """A marker may name a folder of its own, but none of the session's; two spellings of a file are one."""
    project.pytester.makeini("[pytest]\ntraining_baselines = baselines\n")
    project.write(test_gate=FIGURE_AMONG_RESULTS)
    result = project.run("--mpl", failed=1)

    result.stdout.fnmatch_lines(["*baselines would lie in build/harness, where this session leaves its results*"])

    twice = FIGURE_AMONG_RESULTS.replace("result.png", "sub/../RESULT.png").replace("test_f(", "test_g(")
    project.write(test_other=twice)
    result = project.run("--mpl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*two tests share the baseline file*"])


REPEATED = """
import pytest

def pytest_generate_tests(metafunc):  # as pytest-repeat
    metafunc.fixturenames.append("__pytest_repeat_step_number")
    ids = lambda index: f"{index + 1}-2"
    metafunc.parametrize("__pytest_repeat_step_number", range(2), indirect=True, ids=ids)

@pytest.fixture
def __pytest_repeat_step_number(request): return request.param
"""


def test_repetitions_of_a_test_are_one_test(project):
    """Under pytest-repeat each is held against the one baseline; a loop that moves from one to the next is red."""
    (project.path / "test_gate.py").write_text(TEST.replace("VALUE", "1.0"))
    project.generate()
    (project.path / "conftest.py").write_text(REPEATED)
    project.run("--training-ci", passed=2).stdout.fnmatch_lines(["1 of 1 baseline compared"])
