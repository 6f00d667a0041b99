"""Promises after an upgrade of Matplotlib or FreeType: text may move, what was trained may not."""

import io

import pytest
from PIL import Image, ImageChops

from harness.baselines import png
from harness.baselines.origin import drawing_versions
from harness.commands import main
from tests.projects import GATE


FIGURE = "test_gate-test_curve.png"
OLD = {"matplotlib": "3.0.3", "freetype": "2.3.0"}
CHANGED = "matplotlib 3.0.3 -> *, freetype 2.3.0 -> *"

LABELLED = GATE.replace("def test_loss_curve", "def test_curve").replace(
    "loss_curve(record)\n", "loss_curve(record, labelled=True)\n"
)


@pytest.fixture
def upgraded(project):
    """A project whose labelled figure was drawn by an older Matplotlib, which set its text elsewhere."""
    project.write(test_gate=LABELLED)
    project.generate()
    stored_by(project, OLD)
    return project


def stored_by(project, versions, moved=3):
    """Store the figure as other versions would have drawn it: everything a few pixels further right."""
    path = project.baselines / FIGURE
    about = png.annotations(path.read_bytes()) | versions
    buffer = io.BytesIO()
    ImageChops.offset(Image.open(path), moved, 0).save(buffer, "png")
    path.write_bytes(png.annotated(buffer.getvalue(), about))


def test_a_baseline_of_another_matplotlib_is_redrawn_from_its_record(upgraded):
    """Green, said so with both versions; the stored file stays, the report shows what was compared."""
    before = upgraded.files()
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "2 compared (1 record, 1 figure), 0 generated, 0 not compared",
            f"1 baseline redrawn from records ({CHANGED}); regenerate to store what is drawn now",
            "margins of what passed: deviation 0.0e+00 of 1e-10, figure RMS 0.00",
        ]
    )
    assert upgraded.files() == before
    assert "the figure is its baseline&#x27;s, redrawn from its record (matplotlib 3.0.3 -&gt; " in html(upgraded)
    compared = upgraded.path / "build" / "harness" / "figures" / "test_gate-test_curve=cpu"
    assert (compared / "baseline.png").read_bytes() == (compared / "redrawn.png").read_bytes()


def html(project):
    """The report of a project's last run, as a page."""
    assert main(["report", "--root", str(project.path)]) == 0
    return (project.path / "build" / "harness" / "report.html").read_text()


def test_a_test_that_trains_itself_is_redrawn_too(upgraded):
    """It asks `training` for its record; its baseline is drawn with the stored one."""
    upgraded.edit("test_curve(record)", "test_curve(training)")
    upgraded.edit("loss_curve(record,", "loss_curve(training(RECIPE),")
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["1 baseline redrawn from records *"])


def test_a_figure_that_fits_as_it_was_drawn_is_not_redrawn(upgraded):
    """Without text nothing moves: the summary says that other versions drew it, and that is all."""
    upgraded.edit(", labelled=True", "")
    upgraded.generate()
    stored_by(upgraded, OLD, moved=0)
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"1 figure the same as other versions drew ({CHANGED})"])
    result.stdout.no_fnmatch_line("*redrawn from*")


def test_a_change_of_the_training_is_red_under_another_matplotlib_too(upgraded):
    """No stored record agrees with this one, so none may stand for the picture; the failure names the versions."""
    upgraded.edit("warmup_steps=1", "warmup_steps=1, label_smoothing=0.2")
    result = upgraded.run("--mpl")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([f"  changed   {CHANGED}"])


def test_a_figure_that_shows_something_else_is_red_under_the_same_matplotlib(upgraded):
    """A picture that moved without an upgrade is a change of the drawing."""
    stored_by(upgraded, drawing_versions())
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*changed   matplotlib*")


def test_a_figure_that_comes_from_no_record_is_red_and_names_the_versions(upgraded):
    """Nothing is stored that it could be redrawn from; the failure says what may be all there is to it."""
    upgraded.edit("test_curve(record)", "test_curve(training)")
    upgraded.edit("figures.loss_curve(record, labelled=True)", "Figure()")
    upgraded.edit("import pytest", "import pytest\nfrom matplotlib.figure import Figure")
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"  changed   {CHANGED}", "  look  *", "  accept  *"])


def test_strict_takes_the_stored_picture_or_none(upgraded):
    """Whoever asks for that hears of every pixel."""
    result = upgraded.run("--mpl", "-o", "strict=true")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*redrawn from*")


def test_what_another_fixture_holds_is_never_redrawn(upgraded):
    """It would be in both pictures, however much it has changed; neither is a test redrawn that checks a record."""
    fixture = "\n@pytest.fixture\ndef heights():\n    return [1, 2, 3]\n"
    upgraded.edit(
        "\n@pytest.mark.mpl_image_compare\ndef test_curve(record)",
        fixture + "\n@pytest.mark.mpl_image_compare\ndef test_curve(record, heights, training_regression)",
    )
    upgraded.edit(
        "    return figures.loss_curve(", "    training_regression.check(record)\n    figure = figures.loss_curve("
    )
    upgraded.edit("labelled=True)", "labelled=True)\n    figure.axes[0].plot(heights)\n    return figure")
    upgraded.generate()
    stored_by(upgraded, OLD)
    upgraded.edit("[1, 2, 3]", "[1, 2, 9]")
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["Error: Image files did not match.", f"  changed   {CHANGED}"])
    result.stdout.no_fnmatch_line("*redrawn from*")


PYPLOT = """
import matplotlib.pyplot as plt

DRAWN = []

@pytest.mark.mpl_image_compare
def test_curve(record):
    DRAWN.append(len(plt.get_fignums()))
    plt.plot([1, 2, 3])
    plt.title(record.name)
    assert len(plt.gca().lines) == 1
    return plt.gcf()

def test_nothing_is_left_open():
    assert DRAWN == [0, 0]
    assert not plt.get_fignums()
"""


def test_figures_of_pyplot_are_redrawn_apart_from_the_present_one(upgraded):
    """plt.plot draws into the current figure: two curves in one picture would always equal themselves."""
    upgraded.write(test_gate=LABELLED.partition("\n@pytest.mark")[0] + PYPLOT)
    upgraded.generate("--deselect", "test_gate.py::test_nothing_is_left_open")
    stored_by(upgraded, OLD)
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["1 baseline redrawn from records *"])
    compared = upgraded.path / "build" / "harness" / "figures" / "test_gate-test_curve=cpu"
    assert not list(compared.glob("*-failed-diff.png"))


def test_a_test_that_can_be_drawn_only_once_is_red_over_its_picture(upgraded):
    """What its second drawing raises is nobody's."""
    upgraded.edit("    return figures", "    DRAWN.append(1)\n    assert len(DRAWN) == 1\n    return figures")
    upgraded.edit("import pytest", "import pytest\nDRAWN = []")
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["Error: Image files did not match.", f"  changed   {CHANGED}"])


def test_a_figure_that_fails_by_its_hash_is_not_said_to_be_redrawn(upgraded):
    """The summary counts what passed, though pytest-mpl compares the pictures, too."""
    (upgraded.path / "hashes.json").write_text('{"test_gate.test_curve_cpu": "0"}')
    result = upgraded.run("--mpl", "--mpl-hash-library=hashes.json", "--mpl-deterministic")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["The comparison to the baseline image succeeded."])
    result.stdout.no_fnmatch_line("*redrawn from*")


def test_regenerating_ends_the_leniency(upgraded):
    """A picture that is the same under both versions was drawn by the present ones then: a changed drawing is red."""
    upgraded.edit(", labelled=True", "")
    upgraded.generate()
    path = upgraded.baselines / FIGURE
    data = path.read_bytes()
    path.write_bytes(png.annotated(data, png.annotations(data) | OLD))
    upgraded.generate()
    upgraded.edit("loss_curve", "accuracy_curve")
    result = upgraded.run("--mpl")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*redrawn from*")
