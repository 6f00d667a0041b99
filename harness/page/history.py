"""The margins of past runs, as a part of the report."""

from collections.abc import Iterator

from harness.page.chart import Line, chart
from harness.page.markup import Markup, element
from harness.page.scale import Scale, linear, logarithmic
from harness.report import share_text
from harness.results import Result, margin_of


__all__ = ["history_part"]

_FLOOR = 1e-6
"""Share of a threshold below which nobody needs to tell margins apart."""


def history_part(result: Result) -> Iterator[Markup]:
    """Yield a chart of a check's margins, run by run, the present one last."""
    now = margin_of(result)
    margins = [*map(float, result["history"]), *([] if now is None else [now])]
    runs = range(1 - len(margins), 1)
    lines = [Line("threshold", [runs[0], 0], [1.0, 1.0]), Line("size", runs, margins)]
    steps = Scale(min(-1, runs[0]), 0, linear([min(-1, runs[0]), 0]).ticks)
    label = f"share of the threshold in {len(margins)} runs; now {share_text(now)}"
    yield element("h3", "Margin in past runs")
    drawing = chart(lines, steps, logarithmic([*margins, 1.0], _FLOOR), label=label)
    framed = element("figure", element("figcaption", "share of the threshold; 0 is this run"), drawing)
    yield element("div", framed, class_="charts")
