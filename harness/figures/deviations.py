"""How far a training is from its baseline: every stream at every step, on a logarithmic scale."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, LogNorm
from matplotlib.figure import Figure

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation, worst
from harness.comparing.selection import selection
from harness.figures.canvas import COLOURS, GREY, GRID, Values, in_both_forms
from harness.figures.digits import checksums, with_exact_digits
from harness.figures.layers import heat_rows, layer_raster, row_height
from harness.figures.series import check_length
from harness.figures.sheets import BAR, BELOW, HEAD, colour_bar, power, sheet, stacked, step_axis
from harness.record.streams import STAGES


_LEAST, _MOST = 1e-17, 10.0  # where equal values are drawn, and what has no finite size
_FEWEST_ROWS, _MOST_ROWS = 8, 40
_FEW_MARKS = 150  # on a line; more would cover it
_WITHIN, _BEYOND = -8.0, 10.0  # exponents of ten, below and above the threshold, that have colours of their own


@in_both_forms
def deviations(comparison: Comparison, *, labelled: bool = False) -> Figure:
    """Draw each value's deviation over its threshold: pale blue where equal, grey within, from violet to yellow beyond.

    One row a stream, in causal order, one column a step or, of too many, for some; of several values in a column the
    furthest counts, and where there is none, or rounding moves it too far to be judged, the page is white. The
    deviation is relative to the size of the baseline's value (`compare`). A missing or an extra value, NaN and
    infinity, and another fingerprint or count are infinitely far.

    640x480 pixels for all streams. The labelled form, as high as its rows, shows up to 40: of each stage in
    turn those that leave the baseline first, and what was logged. Above them is the largest deviation of each stage.

    What was evaluated before the first step is left out.

    Raises:
        NotRecordedError: the runs have more than a million steps.
    """
    points = [point for point in comparison.points if point.stream in comparison.streams and point.step >= 0]
    steps = 1 + max((point.step for point in points), default=0)
    check_length(comparison.record, steps, "deviations")
    points = [point for point in points if point.is_judged]
    rows = _rows(points, steps)
    if not labelled:
        page = np.stack(list(rows.values())) if rows else np.full((1, 1), np.nan)
        beyond = np.where(page <= 0, -math.inf, page)  # what is within is another machine's
        return with_exact_digits(
            layer_raster(beyond, _WITHIN, _BEYOND, _colours()), checksums(beyond.clip(0.0, _BEYOND))
        )
    logged = {point.stream for point in points if point.stage == "forward"}
    moved = {name for name, values in rows.items() if np.nanmax(values) > -math.inf}
    names = selection(comparison, min(_MOST_ROWS, max(_FEWEST_ROWS, len(logged | moved))))
    others = "; all others are equal" if moved <= {*names} else ": of each stage, those that leave first"
    shown: dict[str, Values] = {name: rows[name] for name in names}
    return _labelled(comparison, points, shown, f"{len(names)} of {len(rows)} streams{others}")


def _rows(points: Sequence[Deviation], steps: int) -> dict[str, Values]:
    """Return the logarithm of deviation over threshold of each stream by step; NaN where it has no value."""
    rows: dict[str, Values] = {}
    for point in sorted(points, key=lambda point: STAGES.index(point.stage)):
        if point.stream not in rows:
            rows[point.stream] = np.full(steps, np.nan)
        row = rows[point.stream]
        row[point.step] = np.fmax(row[point.step], _logarithm(point.size, point.threshold))
    return rows


def _logarithm(size: float, threshold: float) -> float:
    if size == 0:
        return -math.inf
    return math.log10(size / threshold) if threshold and math.isfinite(size) else math.inf


def _colours() -> Colormap:
    """Pale blue where nothing moved, greys up to the threshold, from violet to yellow beyond, white for no value."""
    pale_blue = (0.80, 0.89, 0.96)
    share = -_WITHIN / (_BEYOND - _WITHIN)
    greys = np.linspace((0.93,) * 3, (0.6,) * 3, round(256 * share) - 1)
    beyond = matplotlib.colormaps["plasma"](np.linspace(0, 1, 256 - round(256 * share)))[:, :3]
    return ListedColormap(np.concatenate([[pale_blue], greys, beyond])).with_extremes(bad="white")


def _labelled(comparison: Comparison, points: Sequence[Deviation], rows: Mapping[str, Values], words: str) -> Figure:
    heights = (180, row_height(len(rows)) * len(rows), BAR) if rows else (180,)
    title = f"Deviation from the baseline: {comparison.verdict}"
    figure = sheet(860, HEAD + sum(heights) + BELOW * len(heights), title, comparison.record)
    above, *below = stacked(figure, *heights)
    _draw_stages(above, points)
    step_axis(above, len(next(iter(rows.values()), [0])))
    if below:
        scale = LogNorm(10**_WITHIN, 10**_BEYOND)
        logarithms = {name: 10 ** values.clip(_WITHIN, _BEYOND) for name, values in rows.items()}
        heat_rows(below[0], logarithms, scale, _colours())
        key = "deviation / threshold (pale blue: equal; grey: within the threshold; white: no value)"
        colour_bar(below[1], scale, _colours(), key)
        below[0].set_title(words)
        step_axis(below[0], len(next(iter(rows.values()))))
    return figure


def _draw_stages(axes: Axes, points: Sequence[Deviation]) -> None:
    """Draw the largest deviation of each stage, and the threshold of the worst value, by step."""
    largest: dict[str, dict[int, float]] = {}
    for point in points:
        sizes = largest.setdefault(point.stage, {})
        sizes[point.step] = max(sizes.get(point.step, 0.0), point.size)
    thresholds = {step: point.threshold for step, point in worst(points, lambda point: point.step).items()}
    colours = (*COLOURS[:4], "saddlebrown", *COLOURS[4:6], GREY, "black")  # yellow would be too pale
    for stage, colour, marker in zip(STAGES[1:], colours, "os^DpvPX*", strict=True):
        if stage in largest:
            dense = len(largest[stage]) > len(thresholds) / 2  # evaluations have nothing between them
            marked = marker if not dense or len(thresholds) <= _FEW_MARKS else None
            (line,) = axes.plot(*_by_step(largest[stage]), color=colour, marker=marked, markersize=4, label=stage)
            line.set(linestyle="-" if dense else "none", linewidth=1)
    axes.plot(*_by_step(thresholds), color="black", linestyle="--", linewidth=1, label="threshold")
    axes.set(yscale="log", ylim=(_LEAST / 3, _MOST * 3))
    between = {10.0**exponent: power(10.0**exponent) for exponent in range(-13, 0, 3)}
    ticks = {_LEAST: "equal", **between, _MOST: "infinite"}
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.grid(visible=True, axis="y", color=GRID)
    axes.set_ylabel("largest relative deviation")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _by_step(values: Mapping[int, float]) -> tuple[list[int], Values]:
    return sorted(values), np.clip([values[step] for step in sorted(values)], _LEAST, _MOST)
