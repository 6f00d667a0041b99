"""The report: one HTML page that needs nothing beside it, neither files nor a network."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from string import Template

from harness.report.figure_text import figure_text
from harness.report.finding import Change, Curve, Figure, Finding, Profile, Training
from harness.report.html.chart import Line, Scale, chart, linear, logarithmic
from harness.report.html.markup import Markup, element
from harness.report.session_text import (
    finding_headline,
    finding_place,
    finding_title,
    first_text,
    session_text,
    share_text,
    size_text,
    trends,
)
from harness.report.words import count, stream_text


_LEAST_SHARE = 1e-6
"""Share of a threshold below which nobody needs to tell margins apart."""
_LEAST_DEVIATION = 1e-17
"""Below it a relative deviation of float64 numbers is nothing."""


def page(findings: Sequence[Finding], pictures: Mapping[str, bytes] | None = None) -> str:
    """Return findings as one HTML page that requests nothing from anywhere.

    The pictures are PNG files by path, as the findings name it. The policy lets a browser run this script and this
    style only, and load nothing.
    """
    own = files("harness.report.html")
    template, style, script = (
        (own / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    keyed = [(f"check-{number}", finding) for number, finding in enumerate(findings, start=1)]
    headline = [element("p", session_text(findings), class_="headline")]
    headline += [element("p", line, class_="trend") for line in trends(findings)]
    return Template(template).substitute(
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        style=style,
        script=script,
        headline="\n".join(headline),
        contents=element("ul", *(_entry(key, finding) for key, finding in keyed)),
        checks="\n".join(_check(key, finding, pictures or {}) for key, finding in keyed),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _entry(key: str, finding: Finding) -> Markup:
    title = element("a", finding_title(finding), href=f"#{key}")
    size = "" if finding.kind == "error" else size_text(finding)
    place = element("span", title, " ", element("small", finding_place(finding)))
    return element("li", _chip(finding), place, element("small", size, class_="margin"))


def _chip(finding: Finding) -> Markup:
    state = "passed" if finding.passed else "failed"
    return element("span", finding.verdict, class_=f"chip {state} {finding.verdict}")


def _check(key: str, finding: Finding, pictures: Mapping[str, bytes]) -> Markup:
    heading = element("h2", finding_title(finding))
    summary = element("summary", _chip(finding), heading, element("small", finding_place(finding)))
    opened = None if finding.passed else ""
    return element("details", summary, *_parts(key, finding, pictures), id=key, class_="check", open=opened)


def _parts(key: str, finding: Finding, pictures: Mapping[str, bytes]) -> Iterator[Markup]:
    yield element("p", finding_headline(finding), class_="lead")
    if finding.training:
        yield from _training(finding, finding.training)
    if finding.figure:
        yield from _figure(finding.figure, pictures, key)
    if finding.history:
        yield from _history(finding)
    if finding.accept and (not finding.passed or finding.kind == "equivalence"):
        yield element("h3", "Accept")
        yield element("p", "If the change is wanted, this line makes it the baseline:")
        yield element("pre", finding.accept, class_="accept", tabindex="0")
    if "\n" in finding.text:
        said = element("pre", finding.text, tabindex="0")
        opened = None if finding.training or finding.figure else ""  # there is nothing else to see
        yield element("details", element("summary", "As pytest prints it"), said, open=opened)


def _figure(figure: Figure, pictures: Mapping[str, bytes], key: str) -> Iterator[Markup]:
    """Yield a figure's numbers and, where its pictures are at hand, the three views; the key is unique in the page."""
    yield element("p", figure_text(figure))
    images = {}
    for name, path in (("baseline", figure.baseline), ("now", figure.result)):
        if data := pictures.get(path):
            uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
            images[name] = element("img", src=uri, alt=f"the figure, {name}", class_=name)
    yield from [_viewer(images, key)] if len(images) == 2 else images.values()


def _viewer(images: Mapping[str, Markup], key: str) -> Markup:
    """Return radio buttons and the views; the style sheet shows the chosen one, so no picture is stored twice."""
    choices: list[Markup] = []
    for number, view in enumerate(("side by side", "slider", "difference")):
        checked = "" if number == 0 else None
        button = element("input", type="radio", name=f"{key}-view", class_=f"v{number}", checked=checked)
        choices.append(element("label", button, view))
    slide = element("input", type="range", min="0", max="100", value="50", aria_label="how much of the baseline shows")
    frames = [element("div", element("span", name), image, class_=f"frame {name}") for name, image in images.items()]
    return element("fieldset", element("legend", "view"), *choices, slide, element("div", *frames, class_="frames"))


def _history(finding: Finding) -> Iterator[Markup]:
    """Yield a chart of a check's margins, run by run, the present one last."""
    margins = finding.margins
    runs = range(1 - len(margins), 1)
    lines = [Line("threshold", [runs[0], 0], [1.0, 1.0]), Line("size", runs, margins)]
    steps = linear([min(-1, runs[0]), 0])
    label = f"share of the threshold in {len(margins)} runs; now {share_text(finding.share)}"
    yield element("h3", "Margin in past runs")
    drawing = chart(lines, steps, logarithmic([*margins, 1.0], _LEAST_SHARE), label=label)
    yield element("div", _framed("share of the threshold; 0 is this run", drawing), class_="charts")


def _training(finding: Finding, training: Training) -> Iterator[Markup]:
    """Yield what is known of a training: facts, changes, charts."""
    yield element("dl", *_facts(finding, training), class_="facts")
    kinds = {"recipe": training.recipe, "environment": training.environment, "renamed tensor": training.renamed}
    if changes := [(kind, change) for kind, kept in kinds.items() for change in kept]:
        yield element("h3", "Changed since the baseline was made")
        yield _table(changes)
    yield element("h3", "Deviation by step, and baseline with this run over it")
    yield _legend()
    yield element("div", *_charts(training), class_="charts")


def _facts(finding: Finding, training: Training) -> Iterator[Markup]:
    facts = {
        "first divergence": first_text(training.first) if training.first else "none",
        "largest deviation": f"{float(training.largest):.1e}, {share_text(finding.share)}",
        "beyond": f"{count(training.num_deviations)} of {count(training.num_values)} values",
        "unchanged": ", ".join(training.unchanged),
    }
    for name, text in facts.items():
        if text:
            yield element("dt", name)
            yield element("dd", text)


def _table(changes: Sequence[tuple[str, Change]]) -> Markup:
    head = element("tr", *(element("th", name, scope="col") for name in ("what", "baseline", "this run")))
    rows = []
    for kind, change in changes:
        name = element("th", f"{kind} {change.name}", scope="row")
        rows.append(element("tr", name, element("td", change.before), element("td", change.now)))
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label="changes")


def _legend() -> Markup:
    names = [("baseline", "baseline"), ("run", "this run"), ("size", "deviation"), ("threshold", "threshold")]
    items = [element("li", element("i", class_=style), name) for style, name in names]
    crosses = element("li", "\N{MULTIPLICATION SIGN} at the upper edge: not a finite number, or on one side only")
    return element("ul", *items, crosses, class_="legend")


def _charts(training: Training) -> Iterator[Markup]:
    steps = linear([0, max(1, training.steps - 1)])
    mark = training.first.step if training.first else None
    yield _framed("largest deviation of the step", _deviations(training.profile, steps, mark))
    for curve in training.curves:
        yield _framed(stream_text(curve.stream), _overlaid(curve, steps, mark))


def _framed(title: str, drawing: Markup) -> Markup:
    return element("figure", element("figcaption", title), drawing)


def _deviations(profile: Profile, steps: Scale, mark: int | None) -> Markup:
    sizes, thresholds = [float(size) for size in profile.sizes], profile.thresholds
    values = logarithmic([*sizes, *thresholds], _LEAST_DEVIATION)
    limited = {step: limit for step, limit in zip(profile.steps, thresholds, strict=True) if limit > 0}
    lines = [Line("threshold", [*limited], [*limited.values()]), Line("size", profile.steps, sizes)]
    label = f"deviation by step on a logarithmic scale, at most {max(sizes, default=0.0):.1e}"
    return chart(lines, steps, values, label=label, mark=mark)


def _overlaid(curve: Curve, steps: Scale, mark: int | None) -> Markup:
    before, now = ([float(value) for value in values] for values in (curve.baseline, curve.values))
    lines = [Line("baseline", curve.baseline_steps, before), Line("run", curve.steps, now)]
    ends = "; ".join(f"{name} from {v[0]:.4g} to {v[-1]:.4g}" for name, v in (("baseline", before), ("run", now)) if v)
    return chart(lines, steps, linear([*before, *now]), label=f"{stream_text(curve.stream)}: {ends}", mark=mark)
