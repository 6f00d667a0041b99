"""Promises to projects that have names of their own, nothing to gate, or a checkout that cannot be written to."""

import os
import subprocess
import sys
import tempfile

import pytest

from harness.plugin import ownership
from harness.plugin.ownership import is_ours, uses
from tests.plugin.conftest import GENERATE
from tests.plugin.test_traps_of_pytest_mpl import FIGURE
from tests.projects import QUICK


DRAWN = f"from harness import figures\n{FIGURE}\n@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n"
"""A figure test that is ours without any ini option, and trains nothing."""


@pytest.fixture
def guest(project):
    """A project without a test of ours."""
    (project.path / "test_gate.py").unlink()
    return project


@pytest.fixture
def drawn(project):
    """A project with one figure test of ours."""
    (project.path / "test_gate.py").write_text(DRAWN)
    return project


def test_fixtures_of_our_names_are_the_projects(guest, monkeypatch):
    """Whatever their scope; their tests own no baselines, in CI neither, and leave no folder and no line."""
    monkeypatch.setenv("CI", "1")
    guest.pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def training():
            return "theirs"

        training_regression = device = training
        """
    )
    guest.write(test_a="def test_a(training, training_regression, device): assert training_regression == 'theirs'")
    result = guest.run("--training-device=cpu,mps", "--mpl")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*training regression*")
    assert not (guest.path / "build").exists()


@pytest.mark.parametrize("wraps", [True, False])
def test_a_fixture_that_wraps_ours_is_still_ours(guest, wraps):
    """One of the same name that asks for ours hands it on; one that does not hides it."""
    asked = "training_regression" if wraps else ""
    own = f"import pytest\n@pytest.fixture\ndef training_regression({asked}): ...\n"

    item = guest.pytester.getitem(f"{own}def test_a(training_regression): ...", "test_a")
    assert uses(item, "training_regression") is wraps


@pytest.mark.parametrize(
    "own",
    [
        "@pytest.fixture(params=['x', 'y'], autouse=True)\ndef device(request): return request.param",
        "def pytest_generate_tests(metafunc):\n"
        "    if 'device' in metafunc.fixturenames: metafunc.parametrize('device', ['x', 'y'])",
    ],
)
@pytest.mark.parametrize("file", ["conftest.py", "below/conftest.py", "below/test_a.py"])
def test_a_device_of_the_projects_own_is_not_multiplied_by_ours(guest, own, file):
    """A test that gets theirs runs once for each of theirs, not once more for each device of the machine."""
    (guest.path / "below").mkdir()
    (guest.path / "below" / "test_a.py").write_text("def test_a(device): assert device in 'xy'\n")
    with (guest.path / file).open("a") as place:
        place.write(f"import pytest\n{own}\n")

    guest.run("--training-device=cpu,mps").assert_outcomes(passed=2)


def test_our_training_does_not_go_by_their_device(guest):
    """It may have any scope, and be no name of a device."""
    guest.write(
        test_a="""
        import pytest

        @pytest.fixture
        def device():
            return 7

        def test_a(training, device):
            assert device == 7
        """
    )

    guest.run("--training-device=cpu").assert_outcomes(passed=1)


def test_a_plugin_that_cannot_be_hashed_is_no_trouble(guest):
    """A dataclass, say."""
    guest.pytester.makeconftest(
        """
        from dataclasses import dataclass

        @dataclass
        class Plugin:
            name: str

        def pytest_configure(config):
            config.pluginmanager.register(Plugin("theirs"))
        """
    )
    guest.write(test_a="def test_a(): ...")

    guest.run().assert_outcomes(passed=1)


def test_a_marker_of_the_projects_own_named_device_means_what_it_means(guest):
    """Where a test uses no fixture of ours; elsewhere an unknown name is refused (tests/plugin/test_devices.py)."""
    guest.pytester.makeconftest(
        """
        import pytest

        def pytest_configure(config):
            config.addinivalue_line("markers", "device(place, kind): theirs")

        @pytest.fixture
        def device(request):
            return request.node.get_closest_marker("device").kwargs["kind"]
        """
    )
    mark = "@pytest.mark.device('cuda:0', 3, kind='big')\n"
    guest.write(test_a=f"import pytest\n{mark}def test_a(device): assert device == 'big'\n{mark}def test_b(): ...")

    guest.run("--strict-markers").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("adds", "name", "place"),
    [
        ("parser.addoption('--training-device')", "--training-device", "*conftest.py:2"),
        ("parser.getgroup('theirs').addoption('--training-output')", "--training-output", "*conftest.py:2"),
        ("parser.addini('training_strict', 'theirs')", "training_strict", "a conftest.py, or a plugin"),
    ],
)
def test_an_option_that_two_add_is_refused_in_a_sentence(guest, adds, name, place):
    """No traceback; pytest would let the last of two ini options win, and say nothing."""
    guest.pytester.makeconftest(f"def pytest_addoption(parser):\n    {adds}")
    result = guest.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: {name} is an option of pytest-training-regression, and of another",
            f"  where  {place}",
            "  fix    rename it there, or run pytest without the gate: -p no:training_regression",
        ]
    )


@pytest.mark.parametrize(
    ("conftest", "head", "ours"),
    [
        ("", "from harness import figures\ndef test_a(): ...", True),
        ("", "import harness.figures as drawing\ndef test_a(): ...", True),
        ("", "from harness import Recipe\nRECIPE = Recipe()\nRecipe = None\ndef test_a(): ...", True),
        ("", "def test_a(): ...", False),
        ("@pytest.fixture\ndef data(): ...", "def test_a(data): ...", True),
        ("@pytest.fixture(autouse=True)\ndef data(): ...", "def test_a(): ...", False),
    ],
)
def test_a_figure_is_ours_where_it_or_what_it_asks_for_is_written_beside_us(guest, conftest, head, ours):
    """Whatever the session does: generate, compare, a part of the tests. What every test gets does not count."""
    guest.pytester.makeconftest(f"import harness, pytest\n{conftest}")
    source = f"import pytest\n{head}".replace("def test_a", "@pytest.mark.mpl_image_compare\ndef test_a")

    assert is_ours(guest.pytester.getitem(source, "test_a")) is ours


def test_what_a_file_imports_is_told_without_running_code_of_others():
    """A module that imports on demand is not asked for anything."""

    class Lazy:
        def __getattr__(self, name):
            raise AssertionError(name)

    assert not ownership._imports_us({"lazy": Lazy(), "plain": 1})


def test_figures_are_compared_where_they_were_generated(drawn, monkeypatch):
    """Without the ini option, in two files of one name, and in CI; the default is `baselines` at the root."""
    (drawn.path / "below").mkdir()
    (drawn.path / "below" / "test_other.py").write_text(DRAWN.replace("draw(1)", "draw(2)"))
    drawn.run(GENERATE).assert_outcomes(passed=2)
    monkeypatch.setenv("CI", "1")
    result = drawn.run("--mpl")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["comparing records and figures", "2 compared (0 records, 2 figures), *"])
    assert {*drawn.files()} == {"test_gate-test_it.png", "below.test_other-test_it.png"}


def test_others_figures_stay_pytest_mpls_beside_ours(drawn):
    """Its names, its folder, its word for a test that generates; nothing about them is said or counted."""
    plain = DRAWN.removeprefix("from harness import figures\n").replace("test_it", "test_plain")
    (drawn.path / "test_plain.py").write_text(plain)
    drawn.pytester.makeini("[pytest]\nmpl-use-full-test-name = true\n")
    result = drawn.run(GENERATE)

    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["0 compared (0 records, 0 figures), 1 generated, 0 not compared"])
    assert {*drawn.files()} == {"test_gate-test_it.png", "test_plain.test_plain.png"}


def test_baselines_are_not_generated_where_nobody_reads_them(drawn, monkeypatch):
    """From a folder below, a name that is meant from the root is refused with the command that is meant."""
    drawn.pytester.makeini("[pytest]\n")
    (below := drawn.path / "below").mkdir()
    monkeypatch.chdir(below)
    result = drawn.run(GENERATE, "..")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: baselines would be written to {below}/baselines, and are read from {drawn.path}/baselines",
            f"  where  the project's root is {drawn.path}",
            "  fix    from here, --mpl-generate-path=../baselines; *",
        ]
    )
    assert not (below / "baselines").exists()
    drawn.run("--mpl-generate-path=../baselines", "..").assert_outcomes(passed=1)
    assert {*drawn.files()} == {"test_gate-test_it.png"}


def test_a_relative_folder_outside_the_root_is_refused(drawn, monkeypatch):
    """Without an ini file the root is where pytest was started, and the folder above it is nobody's."""
    (below := drawn.path / "below").mkdir()
    (drawn.path / "test_gate.py").rename(below / "test_gate.py")
    monkeypatch.chdir(below)
    result = drawn.run("--mpl-generate-path=../baselines")

    result.stderr.fnmatch_lines([f"ERROR: baselines would be written to {drawn.path}/baselines, *"])
    elsewhere = drawn.run(f"--mpl-generate-path={drawn.path}/others")
    elsewhere.stdout.fnmatch_lines(
        [f"writing baselines to {drawn.path}/others, which is read with --mpl-baseline-path={drawn.path}/others"]
    )


def test_where_nothing_is_gated_nothing_is_said_made_or_imported(guest):
    """In a process of its own: no line, no folder, no variable, no slow library, whatever is an error there."""
    guest.write(
        test_a="""
        import os, sys

        def test_a():
            slow = [name for name in ("torch", "numpy", "matplotlib") if name in sys.modules]
            print(slow, "HARNESS_IMPORTED" in os.environ)
        """
    )
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-W", "error", "-p", "no:cacheprovider", *QUICK]
    environment = os.environ | {"HARNESS_CIFAR10": "/nowhere"}
    environment.pop("HARNESS_IMPORTED", None)  # of the session that runs this test
    done = subprocess.run(command, cwd=guest.path, env=environment, capture_output=True, text=True)

    assert done.stdout.splitlines()[:2] == ["[] False", "."]
    assert "1 passed" in done.stdout.splitlines()[2]
    assert done.stderr == ""
    assert not (guest.path / "build").exists()


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--markers", "--help", "--training-strict"])
def test_nothing_is_said_beside_what_pytest_was_asked_for(guest, option):
    """The options that ask pytest about itself work, and strictness demands nothing of who gates nothing."""
    guest.write(test_a="def test_a(): ...")
    result = guest.run(option)

    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("=* training regression =*")
    assert not (guest.path / "build").exists()


def test_git_leaves_alone_what_a_session_leaves(drawn):
    """The folder has a .gitignore of its own; one that stood before is the user's, and gets none."""
    (drawn.path / "mine").mkdir()
    drawn.run("--mpl")
    drawn.run("--mpl", "--training-output=mine")

    assert (drawn.path / "build" / "harness" / ".gitignore").read_text() == "*\n"
    assert (drawn.path / "mine" / "results.json").exists()
    assert not (drawn.path / "mine" / ".gitignore").exists()


def test_all_that_a_session_leaves_goes_to_one_folder(drawn, monkeypatch):
    """From where pytest was started; the commands that it prints name the folder."""
    drawn.run(GENERATE, "--training-output=out").assert_outcomes(passed=1)
    drawn.edit("draw(1)", "draw(3)")
    (drawn.path / "below").mkdir()
    monkeypatch.chdir(drawn.path / "below")
    result = drawn.run("--mpl", "--training-output=../out", "--rootdir=..", "..")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f'  accept    harness accept test_gate-test_it --root .. --output {drawn.path}/out --reason "..."',
            f"report: {drawn.path}/out/report.html",
        ]
    )
    assert (drawn.path / "out" / "failed" / "test_gate-test_it.png").exists()
    assert (drawn.path / "out" / "session.json").exists()
    assert not (drawn.path / "build").exists()


def test_a_read_only_checkout_gets_its_verdicts(drawn, monkeypatch, tmp_path_factory):
    """What the session leaves goes to a temporary folder, and a sentence names the option."""
    drawn.run(GENERATE, "--training-output=out")
    places = tmp_path_factory.mktemp("places")
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    result = drawn.run("--mpl")

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            f"report: {places}/training-regression-*/report.md; *",
            "the project cannot be written to: --training-output=DIR names a folder for what a session leaves",
        ]
    )
    assert not (drawn.path / "build").exists()
