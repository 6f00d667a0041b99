"""Promises of results: what is kept of a comparison, how it is stored, and how CI reads it."""

import importlib.util
import io
import json
import math
import subprocess
import sys
from html import unescape
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness import compare
from harness.faults.gate_power import Mutant, Power
from harness.inert import inert
from harness.record.streams import Stream
from harness.report.check import curves, profile
from harness.report.figure_text import compared_figure, draw_sheet, figure_difference, figure_rms, figure_text
from harness.report.finding import Faults
from harness.report.history import remember
from harness.report.json_form import collect, keep, ordered, schema, to_text
from harness.report.markdown import annotation, markdown
from harness.report.session_text import comparison_lines, junit_properties, trends
from tests.test_origin import picture
from tests.test_page import check, figure, hostile, power, seeds, training, unjudged
from tests.test_record import record_of


needs_schema = pytest.mark.skipif(
    importlib.util.find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed"
)


def compared(before, now):
    """Two losses, compared."""
    return compare(*(record_of({"loss": Stream("forward", tuple(range(len(v))), tuple(v))}) for v in (before, now)))


def test_the_margin_is_the_share_of_the_threshold():
    """0 for equal trainings, below 1 within the threshold, above it beyond, infinite for NaN."""
    margins = [training((2.0, loss, 1.0)).share for loss in (1.5, 1.5 + 3e-11, 1.5 + 3e-10, math.nan)]

    assert margins == [0, pytest.approx(0.2, rel=1e-5), pytest.approx(2, rel=1e-5), math.inf]
    assert figure(rms=0.5).share == 0.25
    assert check().trouble("no").share is None


@settings(max_examples=15)
@given(st.lists(st.floats(), min_size=401, max_size=1500), st.integers(0, 400))
def test_thinned_curves_keep_their_extremes(losses, step):
    """However long a training, its largest and smallest loss and its worst step are still seen."""
    now = list(losses)
    now[step] = 1.0
    comparison = compared(losses, now)
    (curve,) = curves(comparison)
    shown = [float(value) for value in curve.values]
    worst = profile(comparison)

    assert len(shown) <= 400
    assert len(worst.steps) <= 400
    assert curve.steps == sorted(curve.steps)
    finite = [value for value in now if math.isfinite(value)]
    if len(finite) == len(now):
        assert (min(shown), max(shown)) == (min(now), max(now))
        assert max(map(float, worst.sizes)) == comparison.largest
    else:
        assert any(not math.isfinite(value) for value in shown)


def test_the_stream_that_leaves_first_is_the_first_curve():
    """It stands before the losses; fingerprints have no curve."""
    streams = {
        "batch/order": Stream("data", (0,), ("ab",)),
        "loss": Stream("forward", (0,), (1.0,)),
        "gradient/w": Stream("backward", (0,), (1.0,)),
    }
    changed = {**streams, "gradient/w": Stream("backward", (0,), (2.0,))}

    found = curves(compare(record_of(streams), record_of(changed)))
    assert [curve.stream for curve in found] == ["gradient/w", "loss"]


def test_several_seeds_and_planted_faults_have_results_of_their_own():
    """Verdict, whether the test went on, and what escaped; neither has a margin that a history could take."""
    good, worse, sharp, blunt = seeds(), seeds(0.5), power(), power("overlooked", least=0.9)

    assert [(r.verdict, r.passed) for r in (good, worse)] == [("equivalent", True), ("worse", False)]
    assert [(r.verdict, r.passed) for r in (sharp, blunt)] == [("caught", True), ("escaped", False)]
    assert blunt.faults == Faults(planted=3, caught=2, escaped=["overlooked"])
    assert power("overlooked").passed
    assert [bool(r.accept) for r in (good, worse, sharp)] == [True, False, False]
    assert {r.share for r in (good, worse, sharp, blunt)} == {None}


@pytest.mark.parametrize("failed", [False, True])
def test_faults_of_which_nothing_is_known_are_not_caught(failed):
    """None was planted, or one could not be tried; the summary counts what was planted."""
    mutants = [Mutant("a", planted=failed, caught=failed), Mutant("b", planted=False, failed=failed)]
    found = check().power(Power(record_of({}), mutants), passed=False, text="")

    assert found.verdict == "inconclusive"
    assert found.faults == Faults(planted=failed, caught=failed, escaped=[])
    said = "1 of 1 planted fault caught" if failed else "no fault could be planted"
    assert junit_properties(found)["gate_power"] == said
    lines = comparison_lines([found], generated=1, not_compared=0, notes=[], accept_all="", commit="")
    assert f"gate power: {said}" in [*lines]


def test_the_power_of_a_training_stands_beside_its_comparison(tmp_path):
    """Neither replaces the other; an error replaces the comparison that an earlier try left."""
    for result in (training((2.0, 1.5, 1.0)), power(), check().trouble("no")):
        keep(result, tmp_path)

    assert [result.kind for result in collect(tmp_path)] == ["error", "power"]


def test_a_check_that_runs_again_replaces_its_own_result(tmp_path):
    """A rerun's last try counts; checks of other names, and figures, stay beside it; failures come first."""
    for result in (training((2.0, 9.0, 1.0)), training((2.0, 1.5, 1.0)), training((9.0,), name="b"), figure()):
        keep(result, tmp_path)

    found = [(result.kind, result.name, result.passed) for result in collect(tmp_path)]
    assert found == [("training", "b", False), ("figure", "", False), ("training", "", True)]


@needs_schema
def test_the_json_follows_its_schema(tmp_path):
    """Every kind of result, NaN included, is valid; the schema is one; what it does not know is refused."""
    place = tmp_path / "schema.json"
    place.write_text(json.dumps(schema()))
    results = [training((2.0, math.nan, 1.0)), training((2.0, 1.5)), figure(), figure(rms=None)]
    results += [seeds(), seeds(0.5), power(), power("overlooked")]
    text = to_text([*results, check().trouble("no baseline")])
    json.loads(text, parse_constant=pytest.fail)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(text)
    bad.write_text(text.replace('"kind": "figure"', '"kind": "training"', 1))

    def validate(*arguments):
        return subprocess.run([sys.executable, "-m", "check_jsonschema", *arguments], capture_output=True, text=True)

    done = validate("--schemafile", str(place), str(good))
    assert done.returncode == 0, done.stdout + done.stderr
    assert validate("--schemafile", str(place), str(bad)).returncode == 1
    assert validate("--check-metaschema", str(place)).returncode == 0


def test_the_summary_is_a_table_and_what_each_failure_says():
    """Headline, the first failure's own, failures first; what pytest prints is folded, what passed if it is much."""
    red = training((2.0, 1.6, 1.0), text="it differs\n  first   1\n  accept  this")
    green = [training((2.0, 1.5, 1.0))] * 6
    few, many = markdown([red, *green[:5]]), markdown([red, *green])

    assert few.startswith(
        "### Training regression: 1 of 6 checks failed: 1 different\n\n```\nit differs\n  accept  this\n"
    )
    assert "| **different** | <code>tests/test&#95;a.py&#58;&#58;test&#95;b&#91;cpu&#93;</code> | <code>step 1, " in few
    assert (
        "baseline 1.5, now 1.6 &#40;6.7e&#45;02, threshold 1e&#45;10&#41;</code> | 6.7e+08 times the threshold |" in few
    )
    assert "```\nit differs\n  first   1\n  accept  this\n```\n" in few
    assert few.count("|  | 0 % of the threshold |\n") == 5
    assert many.count("|  | 0 % of the threshold |\n") == 6
    assert "passed" not in few
    assert "</details>\n\n<details><summary>6 passed</summary>\n\n| verdict |" in many


def test_the_first_screen_is_a_trainings():
    """Of a figure that failed before it in the table, too: the training knows the cause."""
    text = markdown(
        [figure(), check().trouble("no baseline\n  fix  write it"), training((2.0, 1.6, 1.0), text="it differs")]
    )

    assert "\n```\nit differs\n```\n\n| verdict |" in text
    assert (
        "| **error** | <code>tests/test&#95;a.py&#58;&#58;test&#95;b&#91;cpu&#93;</code> | <code>no baseline</code> |"
        in text
    )
    assert "| <code>the figure differs from its baseline</code> | 15 times the threshold |" in text
    assert "\n```\nno baseline\n  fix  write it\n```\n\n| verdict" in markdown(
        [check().trouble("no baseline\n  fix  write it")]
    )


def test_the_summary_tells_seeds_and_planted_faults_when_they_pass_too():
    """A row each, and the whole text, folded."""
    text = markdown([seeds(), power("overlooked")])

    assert text.startswith("### Training regression: 2 checks, all passed\n")
    assert "| equivalent | <code>tests/test&#95;a.py&#58;&#58;test&#95;b&#91;cpu&#93;</code> |  |  |" in text
    assert "|  | 2 of 3 planted faults caught |" in text
    assert "\nequivalent after 3 of 3 paired seeds" in text
    assert "ESCAPED: it moved nothing beyond the threshold\n" in text


def test_what_is_not_judged_stands_beside_the_failures():
    """It may have passed, but it is not folded with what did."""
    found = ordered([*[training((2.0, 1.5, 1.0), test="a")] * 6, unjudged(test="b"), figure(test="c")])
    shown, folded = markdown(found).split("<details><summary>6 passed</summary>")

    assert [finding.test for finding in found] == ["c", "b", *"aaaaaa"]
    assert "1 of 8 checks failed: 1 different; 1 passed, but not judged" in shown
    assert "| not judged | <code>b</code> |  | 1 value not judged |" in shown
    assert "```\nnothing could have failed it" in shown
    assert folded.count("| same |") == 6


def test_what_is_not_judged_has_no_margin(tmp_path):
    """So it never counts as a pass that stays away from its threshold, neither in a history nor in a trend."""
    (kept,) = remember(tmp_path / "history", [unjudged()])
    (judged,) = remember(tmp_path / "history", [training((2.0, 1.5, 1.0))])

    assert (kept.margin, kept.is_judged, judged.margin, judged.is_judged) == (None, False, 0.0, True)
    assert (tmp_path / "history").read_text().count("\n") == 1
    assert not [*trends([unjudged()])]


def test_a_session_counts_what_is_not_judged_and_says_it():
    """Beside what drifted, with the note."""
    lines = [*comparison_lines([unjudged()], generated=0, not_compared=0, notes=(), accept_all="", commit="")]

    assert lines == [
        "1 compared (1 record, 0 figures, 1 not judged), 0 generated, 0 not compared",
        "nothing could have failed it\n  help",
    ]


def test_margins_tell_only_of_what_passed():
    """A figure alone has no deviation, least of all one of 0, and a record no RMS."""
    drawn, same = (figure(rms=0.5, passed=True), "figure RMS 0.50"), (training((2.0, 1.5, 1.0)), _SAME)
    for passed in ([drawn], [same], [same, drawn]):
        found = [training((2.0, 1.6, 1.0)), *(each for each, _ in passed)]
        lines = [*comparison_lines(found, generated=0, not_compared=0, notes=(), accept_all="", commit="")]
        assert lines[-1] == f"margins of what passed: {'; '.join(said for _, said in passed)}"


_SAME = "deviation 0.0e+00, at most 0 % of a threshold"


def test_a_long_summary_is_cut_between_its_parts():
    """GitHub refuses what is too long; what is left is whole, says how much is missing, and begins with failures."""
    many = [training((2.0, 1.6, 1.0), text="it differs\n" + "x" * 15_000)] * 100 + [training((2.0, 1.5, 1.0))] * 900
    text = markdown(many)
    shown = text.count("| **different** |")

    assert len(text) < 50_100
    assert text.count("```") % 2 == 0
    assert f"|\n| | and {100 - shown} more in the report | | |\n" in text
    assert text.endswith("Too long for GitHub: 99 more in the report.\n")
    assert shown > 50


@given(hostile, hostile)
def test_no_name_leaves_the_table(test, text):
    """Pipes, newlines, mentions, HTML and fences in names and texts stay text."""
    lines = markdown([training((2.0, 1.6, 1.0), test=test, text=f"``` {text}")]).splitlines()
    row = next(line for line in lines if line.startswith("| **different**"))
    cell = row.split(" | ")[1]

    assert row.count("|") == 5
    assert not set("@`[*") & set(cell)
    assert unescape(cell.removeprefix("<code>").removesuffix("</code>")) == " ".join(inert(test).split())
    assert lines.count("````") >= 2


def test_an_annotation_is_one_line_at_the_tests_line():
    """The escapes are GitHub's: a text cannot end the command or begin another."""
    result = check().trouble("50% is off: a, b\n::error::no")

    assert annotation(result) == (
        "::error file=tests/test_a.py,line=7,title=50%25 is off%3A a%2C b::50%25 is off: a, b%0A\\x3a:error::no"
    )
    assert annotation(unjudged()).startswith(
        "::warning file=tests/test_a.py,line=7,title=nothing could have failed it::"
    )


@given(hostile | st.sampled_from(["\ud800", "\ufffe", "a\x00b"]))
def test_junit_is_xml_whatever_a_record_is_called(name):
    """Control characters, surrogates and what is no character: pytest escapes values, but no names."""
    for key, value in junit_properties(training((2.0, 1.6, 1.0), name=name)).items():
        element = ElementTree.fromstring(ElementTree.tostring(ElementTree.Element("property", name=key, value=value)))
        assert element.attrib == {"name": key, "value": value}


def test_junit_has_verdict_deviation_and_place():
    """As short texts; several checks of a test do not hide each other."""
    place = "step 1, forward, loss: baseline 1.5, now 1.6 (6.7e-02, threshold 1e-10)"

    assert junit_properties(training((2.0, 1.6, 1.0), name="b")) == {
        "training_verdict[b]": "different",
        "largest_deviation[b]": "6.7e-02",
        "first_divergence[b]": place,
    }
    assert junit_properties(training((2.0, 1.5, 1.0)))["first_divergence"] == "none"
    assert junit_properties(unjudged())["training_verdict"] == "not judged"
    assert junit_properties(unjudged())["not_judged"] == "1 value"
    assert "not_judged" not in junit_properties(training((2.0, 1.6, 1.0)))
    assert junit_properties(figure()) == {"figure_verdict": "different", "figure_rms": "29.20"}
    assert junit_properties(seeds()) == {"training_verdict": "equivalent"}
    assert junit_properties(power("overlooked")) == {
        "gate_power": "2 of 3 planted faults caught",
        "escaped_faults": "overlooked",
    }
    assert junit_properties(check().trouble("no")) == {"training_verdict": "error"}


@pytest.mark.parametrize("steps", [401, 777, 2000])
def test_a_single_spike_survives_the_thinning(steps):
    """Wherever in a long training one loss is off, up or down, its curve still shows it."""
    losses = [2.0 + step % 7 for step in range(steps)]
    for step in range(1, steps, steps // 10):
        for spike in (-5.0, 50.0):
            (curve,) = curves(compared(losses, [*losses[:step], spike, *losses[step + 1 :]]))
            assert spike in curve.values
            assert step in curve.steps


def pictures(folder, **named):
    """A folder as pytest-mpl leaves it, with some pictures."""
    for name, data in named.items():
        (folder / f"{name}.png").write_bytes(data)
    return folder


def wider():
    """A PNG of another size."""
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, format="png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("result", "rms", "difference", "text"),
    [
        (picture(7), 0.0, "the figure differs, RMS 0.00", "RMS 0.00, tolerance 2"),
        (picture(10), 3.0, "the figure differs, RMS 3.00", "RMS 3.00, tolerance 2"),
        (wider(), None, "the figure has another size", "the sizes differ, tolerance 2"),
    ],
    ids=["equal", "darker", "wider"],
)
def test_a_figure_is_told_by_its_distance_in_grey_levels(tmp_path, result, rms, difference, text):
    """Measured from the two pictures, also where the figure passes; of another size there is none."""
    folder = pictures(tmp_path, baseline=picture(7), result=result)
    found = compared_figure(check(), folder, tmp_path, 2.0, False, "Error: pixels")

    assert figure_rms(folder) == rms
    assert figure_difference(figure_rms(folder)) == difference
    assert figure_text(found.figure.rms, found.figure.tolerance) == text
    assert (found.verdict, found.figure.baseline, found.figure.result) == ("different", "baseline.png", "result.png")
    assert found.share == (math.inf if rms is None else rms / 2)


@pytest.mark.parametrize("named", [{}, {"result": picture()}], ids=["none", "no baseline"])
def test_a_figure_without_two_pictures_has_nothing_to_compare(tmp_path, named):
    """One that fails is told in pytest-mpl's words alone; one that passes, of a hash library say, is equal."""
    folder = pictures(tmp_path, **named)

    assert compared_figure(check(), folder, tmp_path, 2.0, False, "no baseline").kind == "error"
    assert compared_figure(check(), folder, tmp_path, 2.0, True, "").share == 0.0
    assert draw_sheet(folder) == []


def test_a_figure_that_differs_is_drawn_beside_its_baseline(tmp_path):
    """A sheet that is wider than both together."""
    (sheet,) = draw_sheet(pictures(tmp_path, baseline=picture(7), result=picture(200)))

    with Image.open(sheet) as drawn:
        assert drawn.width > 2 * 5
