"""A session's results in words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.history import shrinks
from harness.report.words import number, stream_text
from harness.results import Faults, Figure, First, Result, margin_of


__all__ = [
    "figure_difference",
    "figure_text",
    "first_text",
    "junit_properties",
    "result_headline",
    "result_title",
    "results_text",
    "session_text",
    "share_text",
    "size_text",
    "trends",
]

_RUNS = 6
"""Runs that a line on a trend shows."""


def junit_properties(result: Result) -> dict[str, str]:
    """Return what a JUnit report carries of a result, name to text; a check's own name stands behind each."""
    if figure := result["figure"]:
        rms = "the sizes differ" if figure["rms"] is None else f"{float(figure['rms']):.2f}"
        return {"figure_verdict": result["verdict"], "figure_rms": rms}
    found: dict[str, str] = {"training_verdict": result["verdict"]}
    if faults := result["faults"]:
        found = {"gate_power": faults_text(faults), "escaped_faults": ", ".join(faults["escaped"]) or "none"}
    if training := result["training"]:
        found["largest_deviation"] = f"{float(training['largest']):.1e}"
        found["first_divergence"] = first_text(training["first"]) if training["first"] else "none"
    suffix = f"[{result['name']}]" if result["name"] else ""
    return {f"{name}{suffix}": value for name, value in found.items()}


def result_title(result: Result) -> str:
    """Return what was checked: the training, or, of whatever else, its test."""
    if training := result["training"]:
        parts = (training["name"], training["data"], training["precision"], training["device"])
        return ", ".join(filter(None, parts))
    what = {"figure": "figure of ", "equivalence": "seeds of ", "power": "gate power of "}.get(result["kind"], "")
    return what + _function(result["test"])


def _function(test: str) -> str:
    path, _, function = test.partition("::")
    return function or path


def session_text(results: Iterable[Result]) -> str:
    """Count what failed and what passed."""
    results = list(results)
    failed = Counter(result["verdict"] for result in results if not result["passed"])
    if not failed:
        return f"{number(len(results), 'check')}, all passed"
    kinds = ", ".join(f"{count} {verdict}" for verdict, count in sorted(failed.items()))
    return f"{failed.total()} of {number(len(results), 'check')} failed: {kinds}"


def first_text(first: First) -> str:
    """Word where a training first leaves its baseline, and by how much."""
    size = float(first["size"])
    sizes = f" ({size:.1e}, threshold {first['threshold']:.0e})" if size < float("inf") else ""
    place = f"step {first['step']}, {first['stage']}, {stream_text(first['stream'])}"
    return f"{place}: baseline {first['baseline']}, now {first['value']}{sizes}"


def figure_difference(rms: float | None) -> str:
    """Say how a figure that failed differs from its baseline.

    Args:
        rms: root mean square difference in grey levels; None for pictures of different size.
    """
    return "the figure has another size" if rms is None else f"the figure differs, RMS {rms:.2f}"


def figure_text(figure: Figure) -> str:
    """Word how far a figure is from its baseline."""
    rms = "the sizes differ" if figure["rms"] is None else f"RMS {float(figure['rms']):.2f}"
    return f"{rms}, tolerance {figure['tolerance']:g} grey levels"


def faults_text(faults: Faults) -> str:
    """Count the planted faults that were caught."""
    return f"{faults['caught']} of {number(faults['planted'], 'planted fault')} caught"


def size_text(result: Result) -> str:
    """Word how large a check's deviation is, or what took its place."""
    if result["faults"]:
        return faults_text(result["faults"])
    return "" if result["kind"] == "equivalence" else share_text(margin_of(result))


def result_headline(result: Result) -> str:
    """Return the line that says what a check found."""
    if result["kind"] == "figure":
        same = ", ".join(filter(None, ("the figure is its baseline's", result["text"])))
        return same if result["passed"] else "the figure differs from its baseline"
    return result["text"].partition("\n")[0]


def share_text(share: float | None) -> str:
    """Word the share of its threshold that a deviation takes."""
    if share is None:
        return "nothing to compare"
    if share == float("inf"):
        return "no number within any threshold"
    return f"{100 * share:.2g} % of the threshold" if share <= 1 else f"{share:.2g} times the threshold"


def results_text(results: Sequence[Result]) -> str:
    """Return what failed and passed, and a line a check; figures that passed have none."""
    shown = [result for result in results if not (result["figure"] and result["passed"])]
    width = max((len(result["verdict"]) for result in shown), default=0)
    return "\n".join([session_text(results), *(f"  {r['verdict']:<{width}}  {_line(r)}" for r in shown)])


def _line(result: Result) -> str:
    where = result["test"] + (f", {result['name']}" if result["name"] else "")
    return f"{where}   {result_headline(result)}"


def trends(results: Iterable[Result]) -> Iterator[str]:
    """Yield a line on each check that passed, but came closer to its threshold than it used to."""
    for result in results:
        margin = margin_of(result)
        if margin is None or not result["passed"]:
            continue
        margins = [*map(float, result["history"]), margin]
        if shrinks(margins):
            shares = ", ".join(f"{100 * share:.2g} %" for share in margins[-_RUNS:])
            runs = f"{shares} of the threshold in the last runs"
            yield f"margin shrinks: {result_title(result)}: {runs}   {result['test']}"
