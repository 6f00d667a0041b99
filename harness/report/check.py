"""From a check to its finding: of a comparison, a figure, several seeds, planted faults, or an error in their place."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation, share, worst
from harness.comparing.equivalence import Equivalence
from harness.explaining.blame import Changed
from harness.explaining.excerpt import Excerpt
from harness.inert import inert
from harness.record import STAGES, Stream, StreamKey
from harness.record.stream_text import stream_text
from harness.report.deviation_map import rows
from harness.report.finding import (
    LONGEST_CURVE,
    MOST_BLAMED,
    MOST_CURVES,
    Change,
    Curve,
    Faults,
    Figure,
    Finding,
    First,
    Number,
    Profile,
    Seeds,
    Subject,
    Training,
    Trouble,
    Verdict,
    plain,
)
from harness.report.words import gate_text, step_text, value_text


if TYPE_CHECKING:
    from harness.faults.gate_power import Power


_Point = TypeVar("_Point")


@dataclass(frozen=True)
class Check:
    """What is the same in every finding of one check; `Finding` has the same fields."""

    test: str
    name: str
    baseline: str
    file: str
    line: int
    accept: str

    def training(
        self,
        comparison: Comparison,
        *,
        passed: bool,
        text: str,
        notable: bool = False,
        where: str = "",
        blame: Sequence[Changed] = (),
        code: Sequence[Excerpt] = (),
    ) -> Finding:
        """Return what was found of a training; a notable one is said although its test passed."""
        steps = profile(comparison)
        shares = [share(float(size), limit) for size, limit in zip(steps.sizes, steps.thresholds, strict=True)]
        record = comparison.record
        world = ((f"world {name}", before, now) for name, before, now in comparison.world)
        training = Training(
            name=record.name,
            data=record.data.get("name", ""),
            precision=record.format_text,
            device=record.device,
            steps=record.num_steps,
            first=_first(comparison.first, comparison) if comparison.first and comparison.deviations else None,
            largest=plain(comparison.largest),
            loosest=comparison.loosest,
            num_deviations=len(comparison.deviations),
            num_undecided=len(comparison.undecided),
            num_values=comparison.num_values,
            num_streams=len(comparison.streams),
            unchanged=list(comparison.unchanged),
            changed=[stage for stage in STAGES if stage in {point.stage for point in comparison.deviations}],
            renamed=_changes((former, former, present) for former, present in comparison.renamed),
            environment=_changes([*comparison.environment, *world]),
            recipe=_changes(comparison.recipe),
            loosened=gate_text(comparison.baseline.gate),
            where=where,
            blame=list(blame[:MOST_BLAMED]),
            curves=curves(comparison),
            profile=steps,
            code=list(code),
            rows=[] if comparison.verdict == "same" else rows(comparison),
        )
        margin = None if comparison.verdict == "not judged" else max(shares, default=0.0)
        return self._finding(training, comparison.verdict, passed, text, margin, notable=notable)

    def figure(self, figure: Figure, *, passed: bool, text: str) -> Finding:
        """Return what was found of a figure that pytest-mpl compared."""
        margin = math.inf if figure.rms is None else share(float(figure.rms), figure.tolerance)
        return self._finding(figure, "same" if passed else "different", passed, text, margin)

    def trouble(self, text: str, *, accept: str = "") -> Finding:
        """Return what was found where there was nothing to compare: a baseline that is missing or broken, say.

        What makes this run's result the baseline is `accept`, where that is not the check's own.
        """
        return dataclasses.replace(self, accept=accept or self.accept)._finding(Trouble(), "error", False, text)

    def seeds(self, equivalence: Equivalence, *, text: str) -> Finding:
        """Return what was found of a training by several seeds; only an equivalent one is to be accepted."""
        passed = equivalence.verdict == "equivalent"
        check = self if passed else dataclasses.replace(self, accept="")
        return check._finding(Seeds(), equivalence.verdict, passed, text, notable=passed)

    def power(self, power: "Power", *, passed: bool, text: str) -> Finding:
        """Return what was found of the faults that were planted in a training; there is nothing to accept."""
        escaped = [mutant.fault for mutant in power.planted if not mutant.caught]
        inconclusive = power.failed or not power.planted
        verdict: Verdict = "escaped" if escaped else "inconclusive" if inconclusive else "caught"
        faults = Faults(planted=len(power.planted), caught=len(power.caught), escaped=escaped)
        check = dataclasses.replace(self, accept="")
        return check._finding(faults, verdict, passed, text, notable=passed)

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
            text=inert(text),
            notable=notable,
            subject=subject,
        )


def _first(deviation: Deviation, comparison: Comparison) -> First:
    return First(
        step=deviation.step,
        stage=deviation.stage,
        stream=str(deviation.stream),
        text=stream_text(deviation.stream, comparison.structure),
        when=step_text(deviation.step, deviation.moment),
        baseline=value_text(deviation.baseline),
        value=value_text(deviation.value),
        size=plain(deviation.size),
        threshold=deviation.threshold,
    )


def _changes(changes: Iterable[tuple[str, object, object]]) -> list[Change]:
    return [Change(name=name, before=str(before), now=str(now)) for name, before, now in changes]


def curves(comparison: Comparison) -> list[Curve]:
    """Return the streams that a person looks at first, of baseline and run.

    They are the stream that leaves first, what was logged, and evaluations, in this order.
    """
    names = list(dict.fromkeys(_worth_a_look(comparison)))[:MOST_CURVES]
    before, now = comparison.baseline.record.streams, comparison.record.streams
    return [_curve(name, stream_text(name, comparison.structure), before.get(name), now.get(name)) for name in names]


def _worth_a_look(comparison: Comparison) -> Iterator[StreamKey]:
    streams = {**comparison.baseline.record.streams, **comparison.record.streams}
    shown = {name for name, stream in streams.items() if any(isinstance(value, float) for value in stream.values)}
    moved = (*comparison.deviations, *comparison.undecided)
    if moved and moved[0].stream in shown:
        yield moved[0].stream
    for stage in ("forward", "evaluation"):
        yield from (name for name, stream in streams.items() if name in shown and stream.stage == stage)


def _curve(name: str, text: str, before: Stream | None, now: Stream | None) -> Curve:
    (baseline_steps, baseline), (steps, values) = _thinned(before), _thinned(now)
    stream = now or before
    assert stream is not None, "the name came from one of them"
    return Curve(
        stream=str(name),
        text=text,
        stage=stream.stage,
        baseline_steps=baseline_steps,
        baseline=baseline,
        steps=steps,
        values=values,
    )


def _thinned(stream: Stream | None) -> tuple[list[int], list[Number]]:
    """Return at most `LONGEST_CURVE` points; of each bucket of a long stream, the smallest and the largest stay."""
    points = [*stream.numbers()] if stream else []
    if len(points) > LONGEST_CURVE:
        points = [point for bucket in _buckets(points, LONGEST_CURVE // 2) for point in _extremes(bucket)]
    return [step for step, _ in points], [plain(value) for _, value in points]


def _buckets(points: Sequence[_Point], count: int) -> Iterator[Sequence[_Point]]:
    ends = [index * len(points) // count for index in range(count + 1)]
    return (points[start:end] for start, end in pairwise(ends))


def _extremes(bucket: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the points of the smallest and the largest value, in order; of NaN and infinity, the first."""
    odd = next((point for point in bucket if not math.isfinite(point[1])), None)
    low, high = (choose(bucket, key=lambda point: point[1]) for choose in (min, max))
    return sorted({low, odd or high}, key=lambda point: point[0])


def profile(comparison: Comparison) -> Profile:
    """Return, for each step in which anything is judged, the deviation that takes most of its threshold."""
    judged = (point for point in comparison.points if point.is_judged)
    points = [*worst(judged, lambda point: point.step).values()]
    if len(points) > LONGEST_CURVE:
        points = [max(bucket, key=lambda point: point.severity) for bucket in _buckets(points, LONGEST_CURVE)]
    return Profile(
        steps=[point.step for point in points],
        sizes=[plain(point.size) for point in points],
        thresholds=[point.threshold for point in points],
    )
