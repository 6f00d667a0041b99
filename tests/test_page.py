"""Promises of the report page: one file, nothing requested, everything escaped, usable by anybody."""

import base64
import hashlib
import io
import math
import re
import shlex
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image

from harness import compare
from harness.comparing.equivalence import judge
from harness.comparing.selection import selection
from harness.explaining.excerpt import CodeLine, Excerpt
from harness.faults.gate_power import Mutant, Power
from harness.inert import inert
from harness.record.streams import Stream
from harness.report.check import Check
from harness.report.comparison_text import equivalence_text, power_text
from harness.report.deviation_map import level, rows
from harness.report.finding import Figure
from harness.report.html.chart import Chart, Line, linear, logarithmic
from harness.report.html.page import page
from harness.report.run import Run, united
from harness.report.session_text import first_text, verdict_text
from tests.browser import CHROMIUM, browsing
from tests.pages import AXE, accessibility
from tests.study.figures import with_growth
from tests.test_record import record_of


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe0def46"
    "b80000000049454e44ae426082"
)
"""One pixel."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def check(test="tests/test_a.py::test_b[cpu]", name="", kind="json"):
    """What is the same in every result of a check."""
    command = f"pytest {shlex.quote(test)} --mpl-generate-path=baselines"
    return Check(test, name, f"a,{name}.{kind}", "tests/test_a.py", 7, command)


def training(losses, baseline=(2.0, 1.5, 1.0), environment=None, text="what pytest says", **where):
    """The result of a training with these losses."""
    records = [
        record_of(
            {"loss": Stream("forward", tuple(range(len(values))), tuple(values))},
            name="cifar_cnn",
            data={"name": "synthetic"},
            environment=around,
        )
        for values, around in ((baseline, {"torch": "2.14"}), (losses, environment or {"torch": "2.14"}))
    ]
    comparison = compare(*records)
    passed = comparison.verdict != "different"
    return check(**where).training(comparison, passed=passed, text=text)


def unjudged(passed=True, text="nothing could have failed it\n  help", **where):
    """The result of a float32 training whose accuracy fell on another machine, where nothing judges it."""
    records = [
        record_of(
            {"evaluation/accuracy": Stream("evaluation", (1,), (accuracy,))}, precision="float32", environment=env
        )
        for accuracy, env in ((0.92, {"torch": "2.14"}), (0.02, {"torch": "2.15"}))
    ]
    return check(**where).training(compare(*records), passed=passed, text=text, notable=True)


def figure(rms=29.2, passed=False, of="", labelled=("", ""), **where):
    """The result of a figure."""
    found = Figure(
        rms=rms, tolerance=2.0, baseline="b.png", result="r.png",
        of=of, labelled_baseline=labelled[0], labelled_result=labelled[1],
    )  # fmt: skip
    return check(**where, kind="png").figure(found, passed=passed, text="Error: pixels")


def seeds(shift=0.0):
    """The result of a training that was judged by three seeds, each moved."""
    former = {seed: {"loss": 2.0 + 0.01 * seed} for seed in range(3)}
    found = judge(former, {seed: {"loss": values["loss"] + shift} for seed, values in former.items()}, 3)
    return check().seeds(found, text=equivalence_text(found))


def power(*escaped, least=0.0):
    """The result of a training with two faults that are caught, one that is not planted, and those that escape."""
    names = ("rate-scaled", "decay-dropped", *escaped)
    mutants = [Mutant(name, planted=True, caught=name not in escaped) for name in names]
    found = Power(record_of({}), [*mutants, Mutant("average-skipped", planted=False, reason="there is none")])
    text = power_text(found, "tests/test_a.py::test_b[cpu]")
    return check().power(found, passed=found.reaches(least), text=text)


class Reading(HTMLParser):
    """What a parser sees: tags with attributes, and text outside of style and script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        """Leave it."""
        self._inside = None

    def handle_data(self, data):
        """Note text."""
        if self._inside not in ("style", "script"):
            self.text.append(data)


def said(*results, **pictures):
    """The page's text, spaces joined."""
    return " ".join(" ".join(Reading(page(results, pictures)).text).split())


def test_a_failed_training_says_where_and_how_to_accept():
    """Verdict, first divergence, deviation against threshold, what changed, and the accept line are there."""
    text = said(training((2.0, 1.6, 1.0), environment={"torch": "2.15"}))

    assert "1 training differs from its baseline" in text
    assert "✕ different test_b[cpu]" in text
    assert "baseline 1.5 now 1.6 (6.7e-02, threshold 1e-10)" in text
    assert "6.7e+08 times the threshold" in text
    assert "forward first" in text
    assert "environment torch 2.14 2.15" in text
    assert "this line makes it the baseline: pytest 'tests/test_a.py::test_b[cpu]' --mpl-generate-path=base" in text


def test_a_passed_training_shows_its_margin():
    """How close it came, although nothing is wrong; no accept line tempts anybody."""
    text = said(training((2.0, 1.5 + 3e-11, 1.0)))

    assert "Nothing differs: 1 check passed" in text
    assert "20 % of the threshold" in text
    assert "largest deviation 2.0e-11" in text
    assert "Accept" not in text


def test_what_is_not_judged_stands_out_although_it_passed():
    """Counted in the headline, open, with a chip of its own and the number of values that moved."""
    html = page([unjudged()])
    tags = Reading(html).tags

    assert "Nothing differs: 1 check passed, but is not judged" in said(unjudged())
    assert verdict_text([unjudged()] * 2) == "Nothing differs: 2 checks passed, but 2 are not judged"
    assert "1 training is not judged" in said(unjudged(passed=False))
    assert "1 of 2 checks passed" in said(unjudged(), training((2.0, 9.0, 1.0)))
    assert "1 value not judged" in said(unjudged())
    assert {a["class"] for tag, a in tags if a.get("class", "").startswith("chip")} == {"chip passed not-judged"}
    assert ".chip.not-judged {" in html
    assert [True for tag, a in tags if a.get("class") == "check passed" and "open" in a] == [True]


def test_seeds_are_shown_as_pytest_prints_them():
    """The verdict and its table; only where the new training is as good does a line accept it."""
    text = said(seeds())
    assert "Nothing differs: 1 check passed" in text
    assert "equivalent after 3 of 3 paired seeds: every metric stays within its margin" in text
    assert "metric former present difference" in text
    assert "this line makes it the baseline: pytest 'tests/test_a.py::test_b[cpu]'" in text

    text = said(seeds(0.5))
    assert "1 check is worse" in text
    assert "Accept" not in text


def test_planted_faults_are_shown_and_what_escaped_stands_out():
    """With the count, the verdict and a line a fault; there is nothing to accept, however it ends."""
    text = said(power("overlooked", least=0.9))

    assert "1 check is escaped" in text
    assert "gate power of test_b[cpu]" in text
    assert "2 of 3 planted faults caught" in text
    assert "overlooked ESCAPED: it moved nothing beyond the threshold" in text
    assert "Accept" not in text
    assert "caught gate power of test_b[cpu]" in said(power())


def test_failures_are_open_and_the_rest_is_folded():
    """What needs eyes is seen without a click; of several, the cards are."""
    red, green = training((2.0, 9.0, 1.0)), training((2.0, 1.5, 1.0), test="a.py::test_c")
    for found, opened in (([red, green], [True, False]), ([red, red, green], [False, False, False])):
        tags = Reading(page(found)).tags
        assert ["open" in a for _, a in tags if a.get("class", "").startswith("check ")] == opened


def test_baseline_and_run_are_drawn_over_each_other():
    """Each chart of a stream has both curves; the deviations have their threshold."""
    drawn = [a["class"] for tag, a in Reading(page([training((2.0, 1.6, 1.0))])).tags if tag == "path" and "d" in a]

    for style in ("line baseline", "line run", "line size", "line threshold", "mark"):
        assert style in drawn


def test_what_is_drawn_has_a_key():
    """The pictures of a card once on the page and each by its title, the line of the first step that differs."""
    html = page([training((2.0, 1.6, 1.0)), training((2.0, 1.5, 1.0))])

    assert html.count("On a card: what this run logged") == 1
    assert html.count("<title>loss over its baseline</title>") == 2
    assert html.count("<title>furthest deviation of each step") == 2
    assert '<i class="mark"></i>where it first differs' in html


def test_a_failed_figure_has_four_views_of_its_pictures():
    """Side by side, slider, onion skin and difference share two embedded pictures, or four: with axes, as compared."""
    tags = Reading(page([figure()], {"b.png": PNG, "r.png": PNG})).tags
    named = dict.fromkeys(("b.png", "r.png", "bl.png", "rl.png"), PNG)
    both = Reading(page([figure(labelled=("bl.png", "rl.png"))], named)).tags

    assert len([a for tag, a in tags if tag == "img" and "title" not in a]) == 2
    assert len([a for tag, a in both if tag == "img" and "title" not in a]) == 4
    assert [a["class"] for _, a in both if a.get("type") == "checkbox"] == ["gated"]
    assert len([a for tag, a in tags if a.get("type") == "radio"]) == 4
    assert len([a for tag, a in tags if a.get("type") == "range" and a["aria-label"]]) == 1


def test_a_figure_of_a_training_that_none_checks_has_axes_too():
    """Of this run alone, beside what was compared."""
    html = page([figure(labelled=("", "rl.png"))], dict.fromkeys(("b.png", "r.png", "rl.png"), PNG))

    assert len([a for tag, a in Reading(html).tags if tag == "img" and "title" not in a]) == 3
    assert html.count("this run, with axes") == 1


def test_a_figure_without_pictures_still_has_its_numbers():
    """A folder that was cleaned does not break the report."""
    assert "RMS 29.20, tolerance 2 grey levels" in said(figure())
    assert "the sizes differ" in said(figure(rms=None))


def test_a_check_without_a_comparison_is_listed():
    """A missing baseline is as red as a different one."""
    text = said(check().trouble("there is no baseline\n  fix    pytest x"))

    assert "1 check could not be compared" in text
    assert "fix pytest x" in text


hostile = st.one_of(
    st.text(max_size=30),
    st.sampled_from(['</script><script src="http://x">', "</style><b>", '" onload="x', "<!--", "\0"]),
    st.sampled_from(["{{ 7 }}", "{% raw %}", "{#"]),
)


@settings(max_examples=40)
@given(test=hostile, name=hostile, text=hostile, environment=hostile)
def test_no_name_leaves_its_place(test, name, text, environment):
    """Whatever a test, a tensor or a version is called, the page has the same elements, and no others."""
    losses = (2.0, 1.6, 1.0)
    plain, odd = (
        page([training(losses, environment={"v": e}, test=t, name=n, text=f"{x}\n")])
        for t, n, x, e in (("a", "b", "c", "d"), (test, name or "b", text, environment))
    )

    assert [tag for tag, _ in Reading(odd).tags] == [tag for tag, _ in Reading(plain).tags]
    assert [sorted(a) for _, a in Reading(odd).tags] == [sorted(a) for _, a in Reading(plain).tags]


def test_nothing_is_loaded_from_anywhere():
    """No address but pictures inside and places in the page; the policy forbids the rest."""
    text = page([training((2.0, 1.6, 1.0)), figure()], {"b.png": PNG, "r.png": PNG})
    addresses = [a.get("src") or a.get("href") for _, a in Reading(text).tags if "src" in a or "href" in a]

    assert addresses
    assert [address for address in addresses if not address.startswith(("data:image/png;", "#"))] == []
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_policy_names_the_style_and_the_script_as_they_are():
    """A browser hashes the bytes between the tags, so none of them is escaped."""
    text = page([])

    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*)</{tag}>", text, flags=re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text


@given(st.text(alphabet=st.sampled_from(" \n\tx<&\"'\u2028é\udc80{}%")))
def test_what_is_preformatted_is_exact(text):
    """Every space and line end of what pytest prints, and of the line that is to be copied."""
    found = Reading(page([training((2.0, 9.0, 1.0), text=f"a\n{text}")])).text

    assert inert(f"a\n{text}") in found


def test_a_long_training_stays_small():
    """A fiftieth of 5 MB, with 5,000 steps: curves are thinned to what a chart can show."""
    losses = [math.sin(step) + 2 for step in range(5000)]
    result = training([loss + 1e-3 for loss in losses], baseline=losses)

    assert len(page([result] * 3).encode()) - len(page([result]).encode()) < 2 * 5e6 / 50


def test_the_largest_numbers_have_an_axis():
    """A loss of 1e308 once found no power of ten above it, and left no report."""
    for value in (1.0000001e308, 1.7e308):
        assert logarithmic([value], 1e-17).share(value) == 1
        assert logarithmic([1.0, value], 1e-17).high == 1e308
        assert linear([value]).low < value < linear([value]).high


def test_the_smallest_numbers_have_an_axis():
    """Between 0 and 5e-324 there is no number, and so no tick."""
    for values in ([5e-324], [0.0, 5e-324], [1e-320, 2e-320]):
        assert linear(values).ticks == (-0.5, 0.0, 0.5)


@given(st.lists(st.floats(), max_size=40), st.booleans())
def test_any_numbers_can_be_drawn(values, log):
    """NaN, infinity, huge, tiny and constant curves give points inside the chart, and a cross for each odd one."""
    line = Line("run", list(enumerate(values)))
    chart = Chart(title="x", label="y", lines=[line], steps=linear([0, 39]), floor=1e-17 if log else None)
    places = [float(place) for place in re.findall(r"-?[\d.]+", chart.path(line))]

    assert len(places) == 2 * sum(map(math.isfinite, values))
    assert all(0 <= place <= 400 for place in places)
    assert len(chart.odd(line)) == len(values) - len(places) / 2


def test_labels_of_an_axis_have_room():
    """A learning rate that moved in its fifth digit had the first digit of its labels cut off."""
    for low, high in ((0.01, 0.010016), (-1.23456e-05, -1.2345e-05), (0.0, 2.0)):
        chart = Chart(title="x", label="y", lines=[Line("run", [(0, low), (1, high)])], steps=linear([0, 1]))
        assert 7 * max(len(chart.values.label(tick)) for tick in chart.values.ticks) <= chart.left - 12


def test_ticks_are_round_numbers():
    """1, 2 or 5 times a power of ten; decades on a logarithmic axis."""
    assert linear([0, 47]).ticks == (0, 20, 40)
    assert linear([1.1, 2.3]).ticks == pytest.approx((1.5, 2.0))
    assert logarithmic([1e-13, 1e-10], 1e-17).ticks == pytest.approx((1e-13, 1e-12, 1e-11, 1e-10))


@pytest.fixture(scope="module")
def browser():
    """A browser for all tests of this file."""
    with browsing() as tab:
        yield tab


@pytest.fixture
def opened(browser, tmp_path):
    """The browser with a page of a failed training, a passed one and a failed figure; `opened.path` is the file."""
    results = [training((2.0, 1.6, 1.0)), figure(), training((2.0, 1.5, 1.0), name="second")]
    browser.path = tmp_path / "report.html"
    browser.path.write_text(page(results, {"b.png": PNG, "r.png": PNG}), encoding="utf-8")
    browser.complaints.clear()
    browser.open(browser.path)
    yield browser
    browser.call("Emulation.clearDeviceMetricsOverride")
    browser.call("Emulation.setEmulatedMedia", features=[])


@needs_chromium
def test_a_browser_requests_the_page_and_nothing_else(opened):
    """No request leaves the page, and neither policy nor script complains."""
    asked = [url for url in opened.requests if not url.startswith("data:image/png;")]

    assert asked == [opened.path.as_uri()]
    assert opened.complaints == []


@needs_chromium
def test_it_fits_a_phone(opened):
    """At 390 pixels nothing sticks out to the side, and the charts' numbers are at least 9 pixels high."""
    opened.ask("document.querySelectorAll('.check').forEach(each => each.open = true)")
    opened.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)

    assert opened.ask("document.documentElement.scrollWidth") <= 390
    assert (
        opened.ask(
            "Math.min(...[...document.querySelectorAll('[open] svg text')].map("
            "text => text.getBoundingClientRect().height))"
        )
        >= 9
    )


@needs_chromium
def test_two_wide_pictures_share_a_row(browser, tmp_path):
    """Side by side means that: at 1,280 pixels those with axes shrink, and nothing sticks out of the page."""
    file = io.BytesIO()
    Image.new("RGB", (640, 48)).save(file, "PNG")
    names = ("b.png", "r.png", "bl.png", "rl.png")
    shown = page([figure(labelled=names[2:])], dict.fromkeys(names, file.getvalue()))
    (tmp_path / "report.html").write_text(shown, encoding="utf-8")
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(tmp_path / "report.html")
    images = "[...document.querySelectorAll('.f0 img')]"
    one, other = browser.ask(f"{images}.map(each => each.getBoundingClientRect().toJSON())")

    assert one["y"] == other["y"]
    assert 500 < min(one["width"], other["width"]) <= max(one["width"], other["width"]) < 640
    assert browser.ask("document.documentElement.scrollWidth") <= 1280


@needs_chromium
def test_it_is_dark_where_the_reader_wants_it_dark(opened):
    """The background follows the system's setting, and the text stays legible: contrast at least 7."""
    seen = {}
    for scheme in ("light", "dark"):
        opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        style = "getComputedStyle(document.body)"
        seen[scheme] = [luminance(opened.ask(f"{style}.{name}")) for name in ("backgroundColor", "color")]

    assert seen["light"][0] > 0.9
    assert seen["dark"][0] < 0.05
    assert all((max(pair) + 0.05) / (min(pair) + 0.05) >= 7 for pair in seen.values())


def luminance(colour):
    """Relative luminance of an `rgb(...)` colour (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear_parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear_parts, strict=True))


@needs_chromium
def test_it_works_by_keyboard(opened):
    """Tab reaches the cards, Enter opens one; arrows choose a figure's view and move its slider."""
    opened.press("Tab", 9)  # the skip link
    opened.press("Tab", 9)
    assert opened.ask("document.activeElement.parentElement.id") == "check-1"
    opened.press("Enter", 13)
    opened.call("Runtime.evaluate", expression="new Promise(done => setTimeout(done))", awaitPromise=True)
    assert opened.ask("document.getElementById('check-1').open")

    opened.ask("document.getElementById('check-2').open = true")
    opened.ask("document.querySelector('input[type=radio]').focus()")
    opened.press("ArrowRight", 39)
    assert opened.ask("document.activeElement.className") == "v1"
    opened.press("Tab", 9)
    assert opened.ask("document.activeElement.type") == "range"
    opened.press("ArrowRight", 39)
    assert opened.ask("document.querySelector('.viewer').style.getPropertyValue('--at')") == "51%"


@needs_chromium
def test_the_views_of_a_figure_are_what_they_say(opened):
    """Side by side nothing overlaps; under the slider, as an onion skin or a difference they lie on each other."""
    overlap = "(() => { const [a, b] = [...document.querySelectorAll('.frame')].map(f => f.getBoundingClientRect());"
    overlap += " return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom })()"
    opened.ask("document.getElementById('check-2').open = true")
    seen = []
    for view in range(4):
        opened.ask(f"document.querySelector('.v{view}').click()")
        seen.append(opened.ask(overlap))

    assert seen == [False, True, True, True]
    assert opened.ask("getComputedStyle(document.querySelector('.frame.now')).mixBlendMode") == "difference"


needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed (HARNESS_AXE names its file)")


@needs_chromium
@needs_axe
def test_it_is_valid_by_axe_core(opened):
    """No rule of accessibility is broken, light or dark, wide or narrow; a picture without words would break one."""
    assert accessibility(opened) == []
    opened.ask("document.querySelectorAll('img').forEach(each => each.removeAttribute('alt'))")
    assert any("image-alt" in line for line in accessibility(opened))


@needs_chromium
def test_a_map_is_filtered_and_sorted(opened):
    """By a part of a name, by the step that a stream leaves in, by its size; the count is said."""
    assert opened.ask("document.querySelector('.tools').hidden") is False
    opened.ask(
        "{ const field = document.querySelector('[type=search]'); field.value = 'nothing';"
        " field.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    assert opened.ask("document.querySelector('.tools output').value") == "0 of 1 streams"
    assert opened.ask("document.querySelector('.row').hidden")


def test_a_figure_lies_on_the_card_of_its_training_unless_it_alone_failed():
    """What follows from a red training is counted with it; the figure of a green one is a card of its own."""
    test, pictures = "tests/test_a.py::test_b[cpu]", {"b.png": PNG, "r.png": PNG}
    for losses, cards, sentence in (
        ((2.0, 9.0, 1.0), 1, "1 training differs from its baseline 1 figure follows from that, 0 of 2 checks passed"),
        ((2.0, 1.5, 1.0), 2, "1 figure differs from its baseline 1 of 2 checks passed"),
    ):
        found = [training(losses), figure(of=test)]
        tags = Reading(page(found, pictures)).tags
        assert len([True for _, a in tags if a.get("class", "").startswith("check ")]) == cards
        assert sentence in said(*found)


def test_the_first_screen_says_what_ran():
    """Project, branch, commit, time, machine and versions, as the session left them."""
    run = Run("lib", "main", "9f8e7d2 with changes", "2026-11-26 21:42 UTC", "EPYC, Linux", "torch 2.14", 12.34)
    text = " ".join(" ".join(Reading(page([training((2.0, 1.5, 1.0))], run=run)).text).split())

    assert "lib main" in text
    assert "commit 9f8e7d2 with changes date 2026-11-26 21:42 UTC took 12.3 s machine EPYC, Linux" in text
    assert united([run, run]) == replace(run, seconds=24.7)
    assert united([run, replace(run, machine="M4")]).machine == ""


def test_the_code_of_a_red_training_is_on_its_card():
    """Numbers, what is new and what is gone."""
    code = [Excerpt("net.py", 7, [CodeLine(0, "-", "relu(x)"), CodeLine(7, "+", "gelu(x)")])]
    found = training((2.0, 1.6, 1.0))
    found = replace(found, subject=replace(found.subject, code=code))

    assert "net.py what changed - relu(x) 7 + gelu(x)" in said(found)


@pytest.mark.parametrize(
    ("size", "threshold", "expected"),
    [(0.0, 1.0, 0), (5e-324, 1e308, 1), (1e-5, 1.0, 2), (0.5, 1.0, 4), (1.0, 1.0, 4), (2.0, 1.0, 5), (1e4, 1.0, 6),
     (1e13, 1.0, 9), (math.inf, 1.0, 9), (1e-9, 0.0, 9)],
)  # fmt: skip
def test_a_level_tells_equal_from_within_from_beyond(size, threshold, expected):
    """Nothing that is beyond its threshold looks like something within it."""
    assert level(size, threshold) == expected


def test_a_map_has_a_row_a_stream_and_a_column_a_step():
    """In causal order, however long the training is; fingerprints have levels and no numbers."""
    steps = tuple(range(250))
    streams = {
        "gradient/w": Stream("backward", steps, (1.0,) * 250),
        "loss": Stream("forward", steps, (1.0,) * 250),
        "batch/order": Stream("data", steps, ("a",) * 250),
    }
    now = {**streams, "gradient/w": Stream("backward", steps, (1.0,) * 200 + (1.5,) * 50)}
    data, loss, gradient = rows(compare(record_of(streams), record_of(now)))

    assert [row.stage for row in (data, loss, gradient)] == ["data", "forward", "backward"]
    assert (gradient.levels, gradient.first, gradient.largest) == ("0" * 80 + "8" * 20, 200, 0.5)
    at = gradient.steps.index(200)
    assert (gradient.baseline[at], gradient.values[at], data.values[0], loss.first) == (1.0, 1.5, None, None)


def test_the_chart_of_a_row_has_each_value_at_its_own_step():
    """Of a long training it has the first, the last and the worst of each column, and says how many."""
    steps = tuple(range(3000))
    losses = [2.0 - step / 3000 for step in steps]
    found = training([loss * (1 + 1e-3 * (step % 30 == 29)) for step, loss in zip(steps, losses, strict=True)], losses)
    (row,) = found.training.rows

    assert [row.steps[0], *row.steps[1:4], row.steps[-1]] == [0, 29, 59, 89, 2999]
    assert row.baseline == [float(f"{losses[step]:.7g}") for step in row.steps]
    assert "loss, 101 of 3 000 steps" in said(found)


def test_a_cell_of_the_map_shows_what_is_furthest_beyond_its_threshold():
    """As the chart of deviations does: not what is largest, where thresholds grow."""
    steps = tuple(range(300))
    draw = [2.0 * (1 + 1e-12 * (1 + (step >= 4))) for step in steps]
    other = [2.0 * (1 + {3: 1.0e-5, 4: 1.5e-5}.get(step, 0.0)) for step in steps]
    runs = ((2.0,) * 300, tuple(draw), tuple(other))
    base, drawn, now = (record_of({"loss": Stream("forward", steps, losses)}) for losses in runs)
    (row,) = rows(compare(with_growth(base, [drawn]), now))

    assert (row.steps[1], row.levels[1]) == (3, "6")


def test_a_digest_is_told_in_words():
    """Sixteen hex digits tell nobody anything."""
    names = ("batch/x", "batch/x order")
    streams = {name: Stream("data", (0, 1), ("0123456789abcdef",) * 2) for name in names}
    for name, words in zip(
        names, ("other samples than in the baseline", "the same samples in other places"), strict=True
    ):
        now = {**streams, name: Stream("data", (0, 1), ("0123456789abcdef", "fedcba9876543210"))}
        found = check().training(compare(record_of(streams), record_of(now)), passed=False, text="")
        assert words in said(found)
        assert words in first_text(found)
        assert "fedcba" not in said(found)
        assert "fedcba" not in first_text(found)


def test_a_map_of_many_streams_has_some_of_each_stage():
    """Those that leave first, the one that is told, and what was logged; it says of how many, and tells all stages."""
    steps = (0, 1, 2)
    names = {f"weight/w{index}": "update" for index in range(100)} | {
        f"gradient/w{index}": "backward" for index in range(50)
    }
    names |= {"learning_rate/0": "schedule", "loss": "forward", "evaluation/accuracy": "evaluation"}
    former = {name: Stream(stage, steps, (1.0, 1.0, 1.0)) for name, stage in names.items()}
    later = {name: Stream(stage, steps, (1.0, 1.0, 2.0)) for name, stage in names.items()}
    later["loss"], later["gradient/w49"] = former["loss"], Stream("backward", steps, (1.0, 2.0, 2.0))
    comparison = compare(record_of(former), record_of(later))
    found = check().training(comparison, passed=False, text="")
    shown = found.training.rows

    assert [shown[0].stream, shown[1].stream] == ["learning_rate/0", "loss"]
    assert {"gradient/w49", "evaluation/accuracy"} <= {row.stream for row in shown}
    assert 20 < sum(row.stage == "backward" for row in shown) < 44
    assert found.training.changed == ["schedule", "backward", "update", "evaluation"]
    assert "64 of 153 streams: of each stage, those that leave first" in said(found)
    assert {"learning_rate/0", "gradient/w49"} == {*selection(comparison, 2)}
