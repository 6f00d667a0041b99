"""Promises that close each hole of pytest-mpl: design's section 5, one test a hole."""

import pytest
from pytest_mpl import plugin as pytest_mpl_plugin

from harness.baselines.store import baseline_name
from harness.plugin.pytest_mpl import PRIVATE
from tests.plugin.conftest import GENERATE
from tests.projects import SMALL


FIGURE = """
import pytest
from matplotlib.figure import Figure

def draw(height):
    figure = Figure(figsize=(2, 1))
    figure.add_axes((0, 0, 1, 1)).plot([0, 1], [0, height])
    return figure
"""

OURS = "[pytest]\ntraining_baselines = baselines\n"


@pytest.fixture
def figures(project):
    """A project with figures only, that keeps its baselines with us."""
    (project.path / "test_gate.py").unlink()
    project.pytester.makeini(OURS)
    return project


@pytest.mark.parametrize("name", PRIVATE)
def test_what_pytest_mpl_does_not_document_is_where_we_look_for_it(pytestconfig, name):
    """This turns red when a new pytest-mpl moves or renames one of them, before any figure is compared otherwise."""
    assert hasattr(pytest_mpl_plugin.ImageComparison(pytestconfig), name)


def test_pytest_mpl_still_names_what_a_test_returned(pytestconfig, request):
    """This turns red when a new pytest-mpl moves `generate_test_name`, or keeps figures elsewhere than by its names."""
    assert isinstance(pytest_mpl_plugin.generate_test_name(request.node), str)
    for keeper in (pytest_mpl_plugin.ImageComparison, pytest_mpl_plugin.FigureCloser):
        assert keeper(pytestconfig).return_value == {}


def test_in_ci_a_figure_that_is_not_compared_fails(figures, monkeypatch):
    """Without --mpl pytest-mpl lets every figure pass; under CI that is a failure, elsewhere it is counted."""
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    figures.generate()
    figures.run(passed=1).stdout.fnmatch_lines(["0 compared (0 records, 0 figures), 0 generated, 1 not compared"])
    monkeypatch.setenv("CI", "true")
    figures.run(failed=1).stdout.fnmatch_lines(
        [
            "this figure was collected but not compared",
            "  where  test_a.py::test_it",
            "  fix    run pytest with --mpl (CI is set, and a gate that compares nothing must not be green)",
        ]
    )
    figures.run("--mpl", passed=1)


def test_a_misspelt_marker_option_is_refused(figures):
    """pytest-mpl would ignore it and compare at its default tolerance."""
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare(tolerence=0)\ndef test_it():\n    return draw(1)\n")
    result = figures.run("--mpl")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: mpl_image_compare has no option 'tolerence', and pytest-mpl would ignore it",
            "  where  test_a.py::test_it",
        ]
    )


@pytest.mark.parametrize("option", ["", "mpl-use-full-test-name = true\n"])
def test_two_tests_of_one_name_have_two_baselines(figures, option):
    """Same function in two modules and two classes: four files, whatever the ini says."""
    figures.pytester.makeini(OURS + option)
    code = """
class TestA:
    @pytest.mark.mpl_image_compare
    def test_it(self):
        return draw({0})

class TestB:
    @pytest.mark.mpl_image_compare
    def test_it(self):
        return draw({1})
"""
    figures.write(test_a=FIGURE + code.format(1, 2), test_b=FIGURE + code.format(3, 4))
    files = figures.generate()

    assert len(files) == 4
    assert len(set(files.values())) == 4
    figures.run("--mpl", passed=4)


def test_parameter_ids_cannot_collide_or_break_a_file_system(figures):
    """Ids with slashes, brackets, colons, blanks and .png each get a legal file of their own."""
    ids = ["a/b", "a_b", "a[b]", "x.png-1", "x.png-2", "cuda:0", "a b", "A_B_", "ü"]
    figures.write(
        test_a=FIGURE
        + f"@pytest.mark.mpl_image_compare\n@pytest.mark.parametrize('n', range({len(ids)}), ids={ids!r})\n"
        + "def test_it(n):\n    return draw(n + 1)\n"
    )
    files = figures.generate()

    assert len(files) == len(ids)
    assert len({name.lower() for name in files}) == len(ids)
    assert all(not set(name) & set('/\\[]:*?"<>| ') and name.isascii() for name in files)
    figures.run("--mpl", passed=len(ids))


def test_two_tests_that_ask_for_one_file_are_refused(figures):
    """An explicit filename can still collide; then the session does not start."""
    code = "@pytest.mark.mpl_image_compare(filename='same.png')\ndef test_{0}():\n    return draw(1)\n"
    figures.write(test_a=FIGURE + code.format("one") + code.format("two"))
    result = figures.run("--mpl")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: two tests share the baseline file same.png",
            "  where  test_a-test_one and test_a-test_two",
        ]
    )


@pytest.mark.filterwarnings("ignore:Ignoring --mpl-baseline-path:UserWarning")  # pytest-mpl's, which is right
@pytest.mark.parametrize("option", ["", "mpl-baseline-path = baselines\n"])
def test_the_baseline_folder_does_not_depend_on_the_shells(figures, monkeypatch, option):
    """An ini path is relative to the project, also when pytest is started in a folder below."""
    figures.pytester.makeini(OURS + option)
    below = figures.pytester.mkdir("below")
    (below / "test_a.py").write_text(FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    figures.run(GENERATE, passed=1)
    monkeypatch.chdir(below)

    figures.run("--mpl", passed=1)


def test_generated_figures_count_as_passed_and_generated(figures):
    """pytest-mpl calls them skipped, as if nothing had happened."""
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    figures.run(GENERATE, passed=1, skipped=0).stdout.fnmatch_lines(
        ["0 compared (0 records, 0 figures), 1 generated, 0 not compared"]
    )


def test_a_figure_test_that_fails_writes_no_baseline(figures):
    """The old picture stays when the test raises while generating."""
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    before = figures.generate()
    figures.edit("return draw(1)", "assert False", file="test_a.py")
    figures.run(GENERATE, failed=1)

    assert figures.files() == before


@pytest.mark.long
def test_generating_in_parallel_into_a_new_folder_does_not_race(figures):
    """Two workers, a folder that does not exist: every file is written."""
    pytest.importorskip("xdist")
    code = """
@pytest.mark.mpl_image_compare
@pytest.mark.parametrize('n', range(8))
def test_it(n):
    return draw(n + 1)
"""
    figures.write(test_a=FIGURE + code)
    figures.run("-n", "2", GENERATE, passed=8).stdout.fnmatch_lines(
        ["0 compared (0 records, 0 figures), 8 generated, 0 not compared"]
    )
    assert len(figures.files()) == 8
    figures.run("--mpl").stdout.fnmatch_lines(["8 compared (0 records, 8 figures), *"])


def test_orphans_are_reported(figures):
    """A baseline that no test claims is named; where only some files are read, it may be another's."""
    code = "@pytest.mark.mpl_image_compare\ndef test_{0}():\n    return draw(1)\n"
    figures.write(test_a=FIGURE + code.format("one") + code.format("two"))
    figures.generate()
    figures.edit("test_two", "test_three", file="test_a.py")
    line = "1 baseline in baselines that no test claims:"

    for options in ([], ["-k", "one"], ["--deselect", "test_a.py::test_one"]):
        figures.run("--mpl", *options).stdout.fnmatch_lines([line, "  test_a-test_two.png"])
    for options in (["test_a.py"], ["--lf"]):
        some = "? baseline* in baselines not owned by these tests: only a part of the tests was collected"
        figures.run("--mpl", *options).stdout.fnmatch_lines([some])
    figures.edit("test_three", "test_two", file="test_a.py")
    figures.run("--mpl").stdout.no_fnmatch_line("*that no test claims*")


def test_a_figure_of_a_fixture_has_the_size_of_one_of_the_test(figures):
    """Style and backend hold while fixtures are built, too."""
    code = """
@pytest.fixture
def figure():
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    return figure

@pytest.mark.mpl_image_compare(filename="one.png"{0})
def test_it(figure):
    return figure
"""
    figures.write(test_a=FIGURE + code.format(""))
    figures.generate()
    figures.edit("def test_it(figure):\n    return figure", "def test_it():\n" + BUILD, file="test_a.py")

    figures.run("--mpl", passed=1)


BUILD = """    import matplotlib.pyplot as plt
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    return figure"""


def test_results_always_false_is_refused(figures):
    """pytest-mpl reads the text False as true."""
    figures.pytester.makeini(OURS + "mpl-results-always = False\n")
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    result = figures.run("--mpl")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: mpl-results-always = False means true to pytest-mpl", "  where  *tox.ini"])


def test_the_margin_of_a_figure_that_passes_is_stated(figures):
    """pytest-mpl leaves it out; ours stands in the summary and in the JUnit file."""
    code = "@pytest.mark.mpl_image_compare(tolerance=30)\ndef test_it():\n    return draw(1)\n"
    figures.write(test_a=FIGURE + code)
    figures.generate()
    figures.edit("draw(1)", "draw(2)", file="test_a.py")
    figures.run("--mpl", "--junitxml=junit.xml", passed=1).stdout.no_fnmatch_line("*figure RMS 0.00")
    assert 'name="figure_rms"' in (figures.path / "junit.xml").read_text()


def test_reruns_of_module_level_figure_tests_work(figures):
    """pytest-mpl wraps its own wrapper on a rerun and dies; ours are given back their function."""
    pytest.importorskip("pytest_rerunfailures")
    code = """
runs = []

@pytest.mark.mpl_image_compare
def test_it():
    runs.append(1)
    return draw(len(runs) % 2 + 1)
"""
    figures.write(test_a=FIGURE + code)
    figures.generate()
    figures.edit("runs = []", "runs = [1]", file="test_a.py")
    result = figures.pytester.runpytest_inprocess("-p", "no:randomly", "--mpl", "--reruns", "2")

    result.stdout.fnmatch_lines(["*1 passed, 1 rerun*"])


def test_a_figure_test_that_returns_nothing_says_so(figures):
    """pytest-mpl dies of an AttributeError."""
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    draw(1)\n")

    figures.run("--mpl").stdout.fnmatch_lines(
        [
            "the test returned NoneType, not a figure",
            "  where  test_a.py::test_it",
            "  fix    end the test with `return figure`",
        ]
    )


def test_failing_figures_lie_in_one_known_folder(figures):
    """Not in a random temporary one: CI uploads it."""
    figures.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    figures.generate()
    figures.edit("draw(1)", "draw(3)", file="test_a.py")
    figures.run("--mpl", failed=1)

    kept = {path.name for path in (figures.path / "build" / "harness" / "figures").rglob("*.png")}
    assert {"baseline.png", "result.png", "result-failed-diff.png"} <= kept


def test_projects_that_merely_have_the_plugin_are_left_alone(project):
    """Figure tests that use nothing of ours keep pytest-mpl's names, folders and behaviour."""
    (project.path / "test_gate.py").unlink()
    project.write(test_a=FIGURE + "@pytest.mark.mpl_image_compare\ndef test_it():\n    return draw(1)\n")
    project.pytester.mkdir("baselines")  # many projects have such a folder
    project.pytester.makeini("[pytest]\nmpl-results-always = False\n")
    project.run("--mpl-generate-path=baseline", skipped=1)  # as pytest-mpl alone says it

    assert (project.path / "baseline" / "test_it.png").exists()
    project.run("--mpl", passed=1)
    assert not (project.path / "build").exists()


def test_baselines_by_url_are_refused(project):
    """pytest-mpl would fetch figures; the records would be missing."""
    project.pytester.makepyfile(test_gate=SMALL + "def test_a(training, training_regression): ...")
    result = project.run("--mpl", "--mpl-baseline-path=http://127.0.0.1/")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: baselines cannot be read from http://127.0.0.1/*"])


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("tests/a.py::test_b", "tests.a-test_b"),
        ("tests/a.py::TestC::test_b[d-e]", "tests.a-TestC-test_b=d-e"),
        ("png/a.py::test_b_[x.png]", "%70ng.a-test_b%5F=x%2Epng"),
        ("a.py::test_b[" + "x" * 300 + "]", None),
    ],
)
def test_names_are_readable_where_they_can_be(nodeid, name):
    """A name is the test's id, with what is not portable encoded."""
    found = baseline_name(nodeid)

    assert found == name or (name is None and len(found) <= 200)
