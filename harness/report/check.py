"""From a check to its finding: of a comparison, a figure, several seeds, planted faults, or an error in their place."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.comparing.equivalence import Equivalence
from harness.faults.power import Power
from harness.report.curves import curves, profile, share
from harness.report.finding import (
    Change,
    Faults,
    Figure,
    Finding,
    First,
    Seeds,
    Subject,
    Training,
    Trouble,
    Verdict,
    plain,
)
from harness.report.words import value_text


@dataclass(frozen=True)
class Check:
    """What is the same in every finding of one check; `Finding` has the same fields."""

    test: str
    name: str
    file: str
    line: int
    accept: str

    def training(self, comparison: Comparison, *, passed: bool, text: str, notable: bool = False) -> Finding:
        """Return what was found of a training; a notable one is said although its test passed."""
        steps = profile(comparison)
        shares = [share(float(size), limit) for size, limit in zip(steps.sizes, steps.thresholds, strict=True)]
        record = comparison.record
        training = Training(
            name=record.name,
            data=record.data.get("name", ""),
            precision=record.format_text,
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
        return self._finding(training, comparison.verdict, passed, text, max(shares, default=0.0), notable=notable)

    def figure(
        self, *, rms: float | None, tolerance: float, baseline: str, result: str, passed: bool, text: str
    ) -> Finding:
        """Return what was found of a figure that pytest-mpl compared; its numbers and paths are those of `Figure`."""
        figure = Figure(rms=None if rms is None else plain(rms), tolerance=tolerance, baseline=baseline, result=result)
        margin = math.inf if rms is None else share(rms, tolerance)
        return self._finding(figure, "same" if passed else "different", passed, text, margin)

    def trouble(self, text: str) -> Finding:
        """Return what was found where there was nothing to compare: a baseline that is missing or broken, say."""
        return self._finding(Trouble(), "error", False, text)

    def seeds(self, equivalence: Equivalence, *, text: str) -> Finding:
        """Return what was found of a training by several seeds; only an equivalent one is to be accepted."""
        passed = equivalence.verdict == "equivalent"
        check = self if passed else dataclasses.replace(self, accept="")
        return check._finding(Seeds(), equivalence.verdict, passed, text, notable=passed)

    def power(self, power: Power, *, passed: bool, text: str) -> Finding:
        """Return what was found of the faults that were planted in a training; there is nothing to accept."""
        escaped = [mutant.fault for mutant in power.planted if not mutant.caught]
        faults = Faults(planted=len(power.planted), caught=len(power.caught), escaped=escaped)
        check = dataclasses.replace(self, accept="")
        return check._finding(faults, "escaped" if escaped else "caught", passed, text, notable=passed)

    def _finding(
        self,
        subject: Subject,
        verdict: Verdict,
        passed: bool,
        text: str,
        margin: float | None = None,
        *,
        notable: bool = False,
    ) -> Finding:
        return Finding(
            **dataclasses.asdict(self),
            verdict=verdict,
            passed=passed,
            margin=None if margin is None else plain(margin),
            text=text,
            notable=notable,
            subject=subject,
        )


def _first(deviation: Deviation) -> First:
    return First(
        step=deviation.step,
        stage=deviation.stage,
        stream=str(deviation.stream),
        baseline=value_text(deviation.baseline),
        value=value_text(deviation.value),
        size=plain(deviation.size),
        threshold=deviation.threshold,
    )


def _changes(changes: Iterable[tuple[str, object, object]]) -> list[Change]:
    return [Change(name=name, before=str(before), now=str(now)) for name, before, now in changes]
