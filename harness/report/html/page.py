"""The report: one HTML page that needs nothing beside it, neither files nor a network; `page.html` is its template."""

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.inert import inert
from harness.report import blame_text, cost_text, figure_text, session_text, words
from harness.report.finding import Curve, Finding, Number, Profile, Training
from harness.report.html.chart import Chart, Line, Scale, linear
from harness.report.ledger import EMPTY, Ledger, ledger_lines


_LEAST_SHARE = 1e-6
"""Share of a threshold below which nobody needs to tell margins apart."""
_LEAST_DEVIATION = 1e-17
"""Below it a relative deviation of float64 numbers is nothing."""


def page(findings: Sequence[Finding], pictures: Mapping[str, bytes] | None = None, ledger: Ledger = EMPTY) -> str:
    """Return findings and ledger as one HTML page that requests nothing from anywhere.

    The pictures are PNG files by path, as the findings name it. The policy lets a browser run this script and this
    style only, and load nothing.
    """
    return (
        _templates()
        .get_template("page.html")
        .render(
            findings=findings,
            ledger=[*ledger_lines(ledger)],
            pictures={path: base64.b64encode(data).decode() for path, data in (pictures or {}).items() if data},
            style=_text("page.css"),
            script=_text("page.js"),
            sha256=_sha256,
            history_chart=_history,
            training_charts=_charts,
            blame_text=blame_text,
            cost_text=cost_text,
            figure_text=figure_text,
            session_text=session_text,
            words=words,
        )
    )


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("harness.report.html", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


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


def _charts(training: Training) -> Iterator[Chart]:
    """Yield a chart of a training's deviations, and one of each stream with its baseline."""
    first = min([0, *(step for curve in training.curves for step in curve.steps[:1] + curve.baseline_steps[:1])])
    steps = linear([first, max(1, training.steps - 1)])
    mark = training.first.step if training.first else None
    yield _deviations(training.profile, steps, mark)
    for curve in training.curves:
        yield _overlaid(curve, steps, mark)


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
    title = curve.text
    before, now = _points(curve.baseline_steps, curve.baseline), _points(curve.steps, curve.values)
    lines = [Line("baseline", before), Line("run", now)]
    ends = [f"{line.style} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines if line.points]
    return Chart(title=title, label=f"{title}: {'; '.join(ends)}", lines=lines, steps=steps, mark=mark)


def _points(steps: Iterable[int], values: Iterable[Number]) -> list[tuple[int, float]]:
    return list(zip(steps, map(float, values), strict=True))
