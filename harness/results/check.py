"""Results of checks: a comparison, a figure, several seeds, planted faults, or an error in place of these."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.comparison import Comparison, Deviation
from harness.equivalence import Equivalence
from harness.power import Power
from harness.results.curves import curves, profile, share
from harness.results.parts import Change, Faults, Figure, First, Result, Training, Verdict, plain


__all__ = [
    "Check",
    "equivalence_result",
    "error_result",
    "figure_result",
    "margin_of",
    "power_result",
    "training_result",
]


@dataclass(frozen=True)
class Check:
    """What is the same in every result of one check.

    Args:
        test: pytest's id of the test.
        name: tells several checks of one test apart.
        file: of the test, relative to the repository.
        line: of the test, 1-based.
        accept: the command that makes the present run the baseline.
    """

    test: str
    name: str
    file: str
    line: int
    accept: str


def training_result(check: Check, comparison: Comparison, *, passed: bool, text: str) -> Result:
    """Return the result of a training that was compared.

    Args:
        check: which.
        comparison: with its baseline.
        passed: whether the test went on.
        text: what a person is told.
    """
    steps = profile(comparison)
    shares = [share(float(size), limit) for size, limit in zip(steps["sizes"], steps["thresholds"], strict=True)]
    record = comparison.record
    training = Training(
        name=record.name,
        data=record.data.get("name", ""),
        precision=record.precision,
        device=record.device,
        steps=record.num_steps,
        first=_first(comparison.deviations[0]) if comparison.deviations else None,
        largest=plain(comparison.largest),
        num_deviations=len(comparison.deviations),
        num_values=comparison.num_values,
        num_streams=len(comparison.streams),
        unchanged=list(comparison.unchanged),
        renamed=_changes((former, former, present) for former, present in comparison.renamed),
        environment=_changes(comparison.environment),
        recipe=_changes(comparison.recipe),
        curves=curves(comparison),
        profile=steps,
    )
    margin = max(shares, default=0.0)
    return _result(check, "training", comparison.verdict, passed, text, margin, training=training)


def figure_result(
    check: Check, *, rms: float | None, tolerance: float, baseline: str, result: str, passed: bool, text: str
) -> Result:
    """Return the result of a figure that pytest-mpl compared.

    Args:
        check: which.
        rms: root mean square of the difference, in grey levels; None if the two are of different size.
        tolerance: the largest that passes.
        baseline: path of the baseline's picture below the folder of the results, or empty.
        result: likewise of the present one.
        passed: whether the test went on.
        text: what a person is told.
    """
    figure = Figure(
        rms=None if rms is None else plain(rms), tolerance=tolerance, baseline=baseline, result=result
    )
    margin = math.inf if rms is None else share(rms, tolerance)
    return _result(check, "figure", "same" if passed else "different", passed, text, margin, figure=figure)


def error_result(check: Check, text: str) -> Result:
    """Return the result of a check that found nothing to compare: a baseline that is missing or broken, say."""
    return _result(check, "error", "error", False, text, None)


def equivalence_result(check: Check, equivalence: Equivalence, *, text: str) -> Result:
    """Return the result of a training that was judged by several seeds; only an equivalent one is to be accepted."""
    passed = equivalence.verdict == "equivalent"
    check = check if passed else dataclasses.replace(check, accept="")
    return _result(check, "equivalence", equivalence.verdict, passed, text, None)


def power_result(check: Check, power: Power, *, passed: bool, text: str) -> Result:
    """Return the result of the faults that were planted in a training; there is nothing to accept."""
    escaped = [mutant.fault for mutant in power.planted if not mutant.caught]
    faults = Faults(planted=len(power.planted), caught=len(power.caught), escaped=escaped)
    verdict: Verdict = "escaped" if escaped else "caught"
    return _result(dataclasses.replace(check, accept=""), "power", verdict, passed, text, None, faults=faults)


def margin_of(result: Result) -> float | None:
    """Return the share of its threshold that a result's largest deviation takes, as a number."""
    return None if result["margin"] is None else float(result["margin"])


def _result(
    check: Check,
    kind: Literal["training", "figure", "error", "equivalence", "power"],
    verdict: Verdict,
    passed: bool,
    text: str,
    margin: float | None,
    *,
    training: Training | None = None,
    figure: Figure | None = None,
    faults: Faults | None = None,
) -> Result:
    return Result(
        kind=kind,
        test=check.test,
        name=check.name,
        file=check.file,
        line=check.line,
        verdict=verdict,
        passed=passed,
        margin=None if margin is None else plain(margin),
        text=text,
        accept=check.accept,
        history=[],
        training=training,
        figure=figure,
        faults=faults,
    )


def _first(deviation: Deviation) -> First:
    return First(
        step=deviation.step,
        stage=deviation.stage,
        stream=deviation.stream,
        baseline=_text(deviation.baseline),
        value=_text(deviation.value),
        size=plain(deviation.size),
        threshold=deviation.threshold,
    )


def _text(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _changes(changes: Iterable[tuple[str, object, object]]) -> list[Change]:
    return [Change(name=name, before=str(before), now=str(now)) for name, before, now in changes]
