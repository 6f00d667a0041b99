"""A training's part of the report."""

from collections.abc import Iterator, Sequence

from harness.page.chart import Line, chart
from harness.page.markup import Markup, element
from harness.page.scale import Scale, linear, logarithmic
from harness.report import first_text, share_text, stream_text
from harness.report.words import count
from harness.results import Change, Curve, Profile, Result, Training, margin_of


__all__ = ["training_part"]

_FLOOR = 1e-17
"""Below it a relative deviation of float64 numbers is nothing."""


def training_part(result: Result, training: Training) -> Iterator[Markup]:
    """Yield what is known of a training: facts, changes, charts."""
    yield element("dl", *_facts(result, training), class_="facts")
    changes = [("recipe", change) for change in training["recipe"]]
    changes += [("environment", change) for change in training["environment"]]
    changes += [("renamed tensor", change) for change in training["renamed"]]
    if changes:
        yield element("h3", "Changed since the baseline was made")
        yield _table(changes)
    yield element("h3", "Deviation by step, and baseline with this run over it")
    yield _legend()
    yield element("div", *_charts(training), class_="charts")


def _facts(result: Result, training: Training) -> Iterator[Markup]:
    margin = margin_of(result)
    beyond = count(training["num_deviations"])
    facts = [
        ("first divergence", first_text(training["first"]) if training["first"] else "none"),
        ("largest deviation", f"{float(training['largest']):.1e}, {share_text(margin)}"),
        ("beyond", f"{beyond} of {count(training['num_values'])} values"),
        ("unchanged", ", ".join(training["unchanged"])),
    ]
    for name, text in facts:
        if text:
            yield element("dt", name)
            yield element("dd", text)


def _table(changes: Sequence[tuple[str, Change]]) -> Markup:
    head = element("tr", *(element("th", name, scope="col") for name in ("what", "baseline", "this run")))
    rows = [
        element(
            "tr",
            element("th", f"{kind} {change['name']}", scope="row"),
            element("td", change["before"]),
            element("td", change["now"]),
        )
        for kind, change in changes
    ]
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label="changes")


def _legend() -> Markup:
    names = [("baseline", "baseline"), ("run", "this run"), ("size", "deviation"), ("threshold", "threshold")]
    items = [element("li", element("i", class_=style), name) for style, name in names]
    crosses = element("li", "\N{MULTIPLICATION SIGN} at the upper edge: not a finite number, or on one side only")
    return element("ul", *items, crosses, class_="legend")


def _charts(training: Training) -> Iterator[Markup]:
    steps = Scale(0, max(1, training["steps"] - 1), linear([0, max(1, training["steps"] - 1)]).ticks)
    first = training["first"]
    mark = first["step"] if first else None
    yield _framed("largest deviation of the step", _deviations(training["profile"], steps, mark))
    for curve in training["curves"]:
        yield _framed(stream_text(curve["stream"]), _overlaid(curve, steps, mark))


def _framed(title: str, drawing: Markup) -> Markup:
    return element("figure", element("figcaption", title), drawing)


def _deviations(profile: Profile, steps: Scale, mark: int | None) -> Markup:
    sizes, thresholds = [float(size) for size in profile["sizes"]], profile["thresholds"]
    values = logarithmic([*sizes, *thresholds], _FLOOR)
    limited = [(step, limit) for step, limit in zip(profile["steps"], thresholds, strict=True) if limit > 0]
    lines = [
        Line("threshold", [step for step, _ in limited], [limit for _, limit in limited]),
        Line("size", profile["steps"], sizes),
    ]
    label = f"deviation by step on a logarithmic scale, at most {max(sizes, default=0.0):.1e}"
    return chart(lines, steps, values, label=label, mark=mark)


def _overlaid(curve: Curve, steps: Scale, mark: int | None) -> Markup:
    before, now = ([float(value) for value in values] for values in (curve["baseline"], curve["values"]))
    lines = [Line("baseline", curve["baseline_steps"], before), Line("run", curve["steps"], now)]
    ends = "; ".join(f"{name} from {v[0]:.4g} to {v[-1]:.4g}" for name, v in (("baseline", before), ("run", now)) if v)
    return chart(lines, steps, linear([*before, *now]), label=f"{stream_text(curve['stream'])}: {ends}", mark=mark)
