"""The report: one HTML page that needs nothing beside it, neither files nor a network; `page.html` is its template."""

import base64
import functools
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.inert import inert
from harness.record import STAGES
from harness.report import blame_text, cost_text, figure_text, session_text, words
from harness.report.deviation_map import level
from harness.report.finding import MOST_COLUMNS, Curve, Figure, Finding, Number, Profile, Row, Training
from harness.report.html.cards import Picture, cards, picture
from harness.report.html.chart import Chart, Line, Scale, Sparkline, linear, runs
from harness.report.ledger import EMPTY, Ledger, ledger_lines
from harness.report.run import UNKNOWN, Run


_LEAST_SHARE = 1e-6
"""Share of a threshold below which nobody needs to tell margins apart."""
_LEAST_DEVIATION = 1e-17
"""Below it a relative deviation of float64 numbers is nothing."""


def page(
    findings: Sequence[Finding],
    pictures: Mapping[str, bytes] | None = None,
    ledger: Ledger = EMPTY,
    run: Run = UNKNOWN,
) -> str:
    """Return what a session found as one HTML page that requests nothing from anywhere.

    The pictures are PNG files by path, as the findings name it. The policy lets a browser run this script and this
    style only, and load nothing.
    """
    known, lines = pictures or {}, [*ledger_lines(ledger)]
    found = cards(findings, known)
    template = _templates().get_template("page.html")
    return template.render(
        findings=findings,
        red=[card for card in found if not card.finding.is_quiet],
        green=[card for card in found if card.finding.is_quiet],
        ledger=lines,
        run=run,
        run_facts=[*_facts(run, lines)],
        style=_text("page.css"),
        script=_text("page.js"),
        views=functools.partial(_views, pictures=known),
    )


def _facts(run: Run, ledger: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what stands in the head of a page."""
    seconds = f"{run.seconds:.1f} s" if run.seconds else ""
    facts = {"commit": run.commit, "date": run.made, "took": seconds, "machine": run.machine, "versions": run.versions}
    yield from ((name, text) for name, text in facts.items() if text)
    yield from (("ledger", line) for line in ledger[:1])


def _views(figure: Figure, pictures: Mapping[str, bytes]) -> list[list[Picture]]:
    """Return the pictures of a figure, baseline and now or one alone, by form: with axes, as compared."""
    found = [[shown for path in form if (shown := picture(pictures.get(path, b"")))] for form in figure.forms]
    return [form for form in found if form]


def _stages(training: Training) -> Iterator[tuple[str, str]]:
    """Yield each stage, and whether it is unchanged, the first that left, one that left later, or not known."""
    for stage in STAGES:
        if training.first and stage == training.first.stage:
            yield stage, "first"
        elif stage in (*training.unchanged, *training.changed):
            yield stage, "unchanged" if stage in training.unchanged else "follows"


def _sized(largest: Number) -> str:
    """Return a relative deviation in words: fingerprints, and what is no number, are another, of no size."""
    if not float(largest):
        return "equal"
    return f"{float(largest):.1e}" if math.isfinite(float(largest)) else "another"


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report.html", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "blame_text": blame_text,
        "cost_text": cost_text,
        "figure_text": figure_text,
        "history_chart": _history,
        "profile_levels": _levels,
        "row_chart": _of_row,
        "runs": runs,
        "session_text": session_text,
        "sha256": _sha256,
        "sized": _sized,
        "sparkline": _sparkline,
        "stages": _stages,
        "training_charts": _charts,
        "words": words,
        "zip": zip,
    }
    return environment


def _shown(value: object) -> object:
    """Return what a template is given: a text that results bring only shows, in HTML too (the direction of writing)."""
    return inert(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _text(name: str) -> str:
    return (files("harness.report.html") / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    """Return the hash by which the policy knows a style or a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _history(finding: Finding) -> Chart:
    """Return a chart of a check's margins, run by run, the present one last."""
    margins = finding.margins
    oldest = 1 - len(margins)
    return Chart(
        title="share of the threshold; 0 is this run",
        label=f"share of the threshold in {len(margins)} runs; now {session_text.share_text(finding.share)}",
        lines=[Line("threshold", [(oldest, 1.0), (0, 1.0)]), Line("size", list(enumerate(margins, start=oldest)))],
        steps=linear([min(-1, oldest), 0]),
        floor=_LEAST_SHARE,
    )


def _charts(training: Training, quiet: bool) -> Iterator[Chart]:
    """Yield a chart of a training's deviations, and of each curve that is another; of a quiet one, of its first."""
    steps = _steps(training, (step for curve in training.curves for step in curve.steps[:1] + curve.baseline_steps[:1]))
    mark = training.first.step if training.first else None
    yield _deviations(training.profile, steps, mark)
    for curve in training.curves[:1] if quiet else training.curves:
        if quiet or (curve.steps, curve.values) != (curve.baseline_steps, curve.baseline):
            yield _overlaid(curve, steps, mark)


def _steps(training: Training, first: Iterable[int] = ()) -> Scale:
    """Return the axis of a training's steps, of which the first may be before it."""
    return linear([min([0, *first]), max(1, training.steps - 1)])


def _sparkline(training: Training) -> Sparkline:
    """Return a small picture of what a training logged, its baseline behind it."""
    curves = sorted(training.curves, key=lambda curve: "loss" not in curve.stream.lower())
    curve = next((curve for curve in curves if curve.stage == "forward"), next(iter(curves), None))
    label = f"{curve.text} over its baseline" if curve else "no curve"
    return Sparkline(title="", label=label, lines=_lines(curve) if curve else [], steps=_steps(training))


def _levels(training: Training) -> str:
    """Return the level of the furthest deviation of each step, as `Row.levels` has it."""
    profile = training.profile
    total = max([training.steps, *(step + 1 for step in profile.steps)])
    columns, worst = min(MOST_COLUMNS, total), dict[int, int]()
    for step, size, threshold in zip(profile.steps, profile.sizes, profile.thresholds, strict=True):
        column = max(0, step) * columns // max(1, total)
        worst[column] = max(worst.get(column, 0), level(float(size), threshold))
    return "".join(str(worst.get(column, " ")) for column in range(columns))


def _of_row(row: Row, training: Training) -> Chart | None:
    """Return a chart of a stream; None if it has no numbers."""
    lines = [
        Line(style, [(at, float(value)) for at, value in zip(row.steps, values, strict=True) if value is not None])
        for style, values in (("baseline", row.baseline), ("run", row.values))
    ]
    if not any(line.points for line in lines):
        return None
    thinned = f", {len(row.steps)} of {words.count(training.steps)} steps" if len(row.levels) < training.steps else ""
    label = f"{row.text} over its baseline"
    return Chart(title=row.text + thinned, label=label, lines=lines, steps=_steps(training), mark=row.first)


def _deviations(profile: Profile, steps: Scale, mark: int | None) -> Chart:
    sizes, limits = _points(profile.steps, profile.sizes), _points(profile.steps, profile.thresholds)
    largest = max((size for _, size in sizes), default=0.0)
    return Chart(
        title="largest deviation of the step",
        label=f"deviation by step on a logarithmic scale, at most {largest:.1e}",
        lines=[Line("threshold", [(step, limit) for step, limit in limits if limit > 0]), Line("size", sizes)],
        steps=steps,
        floor=_LEAST_DEVIATION,
        mark=mark,
    )


def _overlaid(curve: Curve, steps: Scale, mark: int | None) -> Chart:
    lines = _lines(curve)
    ends = [f"{line.style} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines if line.points]
    return Chart(title=curve.text, label=f"{curve.text}: {'; '.join(ends)}", lines=lines, steps=steps, mark=mark)


def _lines(curve: Curve) -> list[Line]:
    before, now = _points(curve.baseline_steps, curve.baseline), _points(curve.steps, curve.values)
    return [Line("baseline", before), Line("run", now)]


def _points(steps: Iterable[int], values: Iterable[Number]) -> list[tuple[int, float]]:
    return list(zip(steps, map(float, values), strict=True))
