"""Turn runs into the tables of the study."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from harness import compare
from harness.comparison import Comparison
from tests.study.faults import right_stages
from tests.study.rules import RULES
from tests.study.runs import PRECISIONS, REFERENCE, Variant, run


@dataclass(frozen=True)
class Judged:
    """A variant's runs, judged.

    Args:
        variant: what was changed.
        comparison: its float64 record against the reference's.
        alarms: one a rule in `RULES`.
    """

    variant: Variant
    comparison: Comparison
    alarms: tuple[bool, ...]

    @property
    def named_right(self) -> bool:
        """Whether the first stage that left is one that a fault of this kind should be blamed on."""
        first = self.comparison.first_divergence
        return first is not None and first.stage in right_stages(self.variant)

    @property
    def first_excess(self) -> float:
        """The first deviation over its threshold; infinite for what has no size (a fingerprint, a missing tensor)."""
        first = self.comparison.deviations[0]
        return first.size / first.threshold if first.threshold else math.inf

    @property
    def largest_excess(self) -> float:
        """The largest finite deviation over its threshold; infinite if only exact values moved."""
        sizes = (d.size / d.threshold for d in self.comparison.deviations if d.threshold and math.isfinite(d.size))
        return max(sizes, default=math.inf)


def judge(variant: Variant) -> Judged:
    """Judge a variant by every rule; its runs are in the folder by now."""
    pairs = {p: (run(REFERENCE, p).record, run(variant, p).record) for p in PRECISIONS}
    alarms = tuple(bool(rule.alarms(*pairs[rule.precision])) for rule in RULES)
    return Judged(variant, compare(*pairs["float64"]), alarms)


def interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson, JASA 22, 1927, p. 209-212)."""
    z = NormalDist().inv_cdf(0.975)
    share, spread = count / total, z * z / total
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return (centre - half) / (1 + spread), (centre + half) / (1 + spread)


def rules_table(faults: Sequence[Judged], benign: Sequence[Judged]) -> str:
    """Return one line a rule: faults caught and benign changes that alarm."""
    header = ["rule", f"faults caught of {len(faults)}", f"benign alarms of {len(benign)}"]
    counts = ([[judged.alarms[k] for judged in kind] for kind in (faults, benign)] for k in range(len(RULES)))
    return _table(header, ([rule.name, *map(_share, found)] for rule, found in zip(RULES, counts, strict=True)))


def _share(found: Sequence[bool]) -> str:
    if not found:
        return "-"
    low, high = interval(sum(found), len(found))
    return f"{sum(found)} ({low:.0%} to {high:.0%})"


def summary(faults: Sequence[Judged], benign: Sequence[Judged]) -> str:
    """Return stages, margins and cost."""
    caught = [judged for judged in faults if judged.alarms[0]]
    same = [judged for judged in benign if judged.comparison.verdict == "same"]
    lines = []
    if caught:
        right = [judged.named_right for judged in caught]
        lines += [
            f"first stage named right: {_share(right)} of {len(right)} caught",
            "smallest fault, its largest deviation over the threshold: " + _least(caught, "largest_excess"),
            "smallest fault, its first deviation over the threshold: " + _least(caught, "first_excess"),
        ]
    if same:
        most = max(same, key=lambda judged: judged.comparison.largest)
        lines += [
            f"largest benign deviation over the threshold: {most.comparison.largest / 1e-10:.0e} ({most.variant.what})",
            f"benign verdicts: {_verdicts(benign)}",
        ]
    return "\n".join([*lines, _cost([judged.variant for judged in (*faults, *benign)])])


def _least(judged: Iterable[Judged], excess: str) -> str:
    least = min(judged, key=lambda one: getattr(one, excess))
    return f"{getattr(least, excess):.0e} ({least.variant.id}, {least.variant.what})"


def _verdicts(benign: Iterable[Judged]) -> str:
    verdicts = [judged.comparison.verdict for judged in benign]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("same", "drift", "different"))


def _cost(variants: Sequence[Variant]) -> str:
    seconds = {p: median(run(variant, p).seconds for variant in variants) for p in PRECISIONS}
    size = len(run(REFERENCE).record.to_text().encode())
    times = ", ".join(f"{value:.1f} in {precision}" for precision, value in seconds.items())
    return f"median seconds a run: {times}; bytes of the baseline: {size:,}"


def faults_table(faults: Sequence[Judged]) -> str:
    """Return one line a fault: what was found first, how far it went, and which rules caught it."""
    header = ["id", "fault", "first", "right", "first / threshold", "largest / threshold", *_letters()]
    return _table(header, (_fault_row(judged) for judged in faults))


def _fault_row(judged: Judged) -> list[str]:
    first = judged.comparison.first_divergence
    found = ["not found", "-", "-", "-"]
    if first is not None:
        sizes = (f"{excess:.0e}" for excess in (judged.first_excess, judged.largest_excess))
        place = f"step {first.step}, {first.stage}, {first.stream}"
        found = [place, "yes" if judged.named_right else "no", *sizes]
    return [judged.variant.id, judged.variant.what, *found, *_marks(judged)]


def benign_table(benign: Sequence[Judged]) -> str:
    """Return one line a benign variant: verdict, largest deviation, and which rules alarmed."""
    header = ["id", "benign change", "verdict", "largest deviation", *_letters()]
    return _table(header, (_benign_row(judged) for judged in benign))


def _benign_row(judged: Judged) -> list[str]:
    verdict = judged.comparison.verdict
    first = judged.comparison.first_divergence
    place = f" (step {first.step}, {first.stage}, {first.stream})" if first else ""
    largest = f"{judged.comparison.largest:.0e}"
    return [judged.variant.id, judged.variant.what, verdict + place, largest, *_marks(judged)]


def legend() -> str:
    """Return which letter stands for which rule in the long tables."""
    return "\n".join(f"{letter}: {rule.name}" for letter, rule in zip(_letters(), RULES, strict=True))


def _letters() -> list[str]:
    return [chr(ord("a") + k) for k in range(len(RULES))]


def _marks(judged: Judged) -> list[str]:
    return ["x" if alarm else "" for alarm in judged.alarms]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
