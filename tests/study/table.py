"""Turn runs into the tables of the study."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from harness import Record, compare
from harness.comparing.comparison import Comparison
from harness.comparing.variants import DRAWS
from harness.record import Baseline
from tests.study import lowprecision
from tests.study.baselines import calibrated, varied
from tests.study.faults import right_stages
from tests.study.rules import RULES
from tests.study.runs import FLOAT32, FLOAT64, REFERENCE, Conditions, Variant, run


@dataclass(frozen=True)
class Judged:
    """A variant's runs, judged.

    Args:
        variant: what was changed.
        comparison: its float64 record against the reference's.
        replay: its float32 record against the reference's, put back on the reference's states.
        alarms: one a rule in `RULES`.
    """

    variant: Variant
    comparison: Comparison
    replay: Comparison
    alarms: tuple[bool, ...]

    @property
    def found(self) -> bool:
        """Whether one of our two comparisons says "different"."""
        return "different" in (self.comparison.verdict, self.replay.verdict)

    @property
    def first(self) -> Comparison:
        """The comparison that a user would read first: float64's, or the replay's if float64 saw nothing."""
        return self.comparison if self.comparison.deviations else self.replay

    @property
    def named_right(self) -> bool:
        """Whether the first stage that left is one that a fault of this kind should be blamed on."""
        divergence = self.first.first_divergence
        return divergence is not None and divergence.stage in right_stages(self.variant)


def ways() -> dict[str, Conditions]:
    """Return how each variant is run, by the names that rules use."""
    return {"float64": FLOAT64, "float32": FLOAT32, "replay": lowprecision.replay()}


def judge(variant: Variant) -> Judged:
    """Judge a variant by every rule; its runs are in the folder by now."""
    pairs = {way: (_baseline(way), run(variant, conditions).record) for way, conditions in ways().items()}
    alarms = tuple(bool(rule.alarms(*pairs[rule.way])) for rule in RULES)
    return Judged(variant, compare(*pairs["float64"]), compare(*pairs["replay"]), alarms)


@functools.cache
def _baseline(way: str) -> Baseline | Record:
    if way == "replay":
        return lowprecision.baseline()
    record = run(REFERENCE, ways()[way]).record
    return calibrated(record, [*varied(REFERENCE, FLOAT64, DRAWS)]) if way == "float64" else record


def first_excess(comparison: Comparison) -> float:
    """Return the first deviation over its threshold; infinite for what has no size (a fingerprint, say)."""
    first = comparison.deviations[0]
    return first.size / first.threshold if first.threshold else math.inf


def largest_share(comparison: Comparison) -> float:
    """Return the largest share of its own threshold that any number has used up, beyond it or not."""
    judged = (point for point in comparison.points if point.threshold and point.limit.judges)
    return max((point.size / point.threshold for point in judged), default=0.0)


def largest_excess(comparison: Comparison) -> float:
    """Return the largest finite deviation over its threshold; infinite if only what has no size moved."""
    sized = [d for d in comparison.deviations if d.threshold and math.isfinite(d.size)]
    return max((d.size / d.threshold for d in sized), default=math.inf)


def interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson, JASA 22, 1927, p. 209-212)."""
    z = NormalDist().inv_cdf(0.975)
    share, spread = count / total, z * z / total
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def machine() -> str:
    """Return where the reference ran."""
    found = run(REFERENCE).record.environment
    return f"torch {found['torch']}, Python {found['python']}, {found['processor']}, {found['instructions']}"


def wrong(faults: Sequence[Judged], benign: Sequence[Judged]) -> list[str]:
    """Return what would take the gate's word from it, a line each: faults that were missed, benign changes that alarm.

    Args:
        faults: all of which are to be found.
        benign: of which none is.
    """
    missed = [f"missed: {judged.variant.id}, {judged.variant.what}" for judged in faults if not judged.found]
    return missed + [f"alarms: {judged.variant.id}, {judged.variant.what}" for judged in benign if judged.found]


def rules_table(faults: Sequence[Judged], benign: Sequence[Judged]) -> str:
    """Return one line a rule: faults caught and benign changes that alarm."""
    header = ["", "rule", f"faults caught of {len(faults)}", f"benign alarms of {len(benign)}"]
    rows: list[tuple[str, str, Callable[[Judged], bool]]] = [("", "ours: both together", lambda judged: judged.found)]
    for column, rule in enumerate(RULES):
        rows.append((_letters()[column], rule.name, lambda judged, column=column: judged.alarms[column]))
    kinds = faults, benign
    return in_columns(
        header, ([letter, name, *(_share(map(red, kind)) for kind in kinds)] for letter, name, red in rows)
    )


def _share(found: Iterable[bool]) -> str:
    found = list(found)
    if not found:
        return "-"
    low, high = interval(sum(found), len(found))
    return f"{sum(found)} ({low:.0%} to {high:.0%})"


def summary(faults: Sequence[Judged], benign: Sequence[Judged]) -> str:
    """Return stages, margins and cost, an item each."""
    lines = []
    caught = [judged for judged in faults if judged.found]
    sharp = [judged for judged in caught if judged.comparison.deviations]
    if sharp:
        lines.append(f"first stage named right: {_share(j.named_right for j in caught)} of {len(caught)} caught")
        lines.append(f"float64, smallest largest deviation of a fault: {_least(sharp, largest_excess)}")
        lines.append(f"float64, smallest first deviation of a fault: {_least(sharp, first_excess)}")
    if benign:
        lines.append(f"float64, largest benign deviation: {_most(benign)}")
        lines += [f"float64, benign verdicts: {_verdicts(judged.comparison for judged in benign)}"]
        fresh = [judged.replay for judged in benign if judged.variant.id not in lowprecision.CALIBRATING]
        lines.append(f"replay, benign verdicts of the {len(fresh)} that did not calibrate: {_verdicts(fresh)}")
    lines += _cost([judged.variant for judged in (*faults, *benign)])
    return "\n".join(f"- {line}" for line in lines)


def _least(sharp: Sequence[Judged], excess: Callable[[Comparison], float]) -> str:
    least = min(sharp, key=lambda judged: excess(judged.comparison))
    return f"{excess(least.comparison):.0e} thresholds ({least.variant.id}, {least.variant.what})"


def _most(benign: Sequence[Judged]) -> str:
    same = [judged for judged in benign if judged.comparison.verdict == "same"]
    most = max(same, key=lambda judged: largest_share(judged.comparison))
    return f"{largest_share(most.comparison):.0e} of its threshold ({most.variant.id}, {most.variant.what})"


def _verdicts(comparisons: Iterable[Comparison]) -> str:
    verdicts = [comparison.verdict for comparison in comparisons]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("same", "drift", "different"))


def _cost(variants: Sequence[Variant]) -> list[str]:
    seconds = {way: median(run(variant, how).seconds for variant in variants) for way, how in ways().items()}
    records = (f"{len(_baseline(way).to_text().encode()):,} ({way})" for way in ("float64", "replay"))
    return [
        "median seconds a run: " + ", ".join(f"{value:.1f} ({way})" for way, value in seconds.items()),
        f"bytes of a baseline: {', '.join(records)}, {lowprecision.bytes_of_states():,} (states of the replay)",
    ]


def faults_table(faults: Sequence[Judged]) -> str:
    """Return one line a fault: what was found first, how far it went, and which rules caught it."""
    header = ["id", "fault", "first", "right", "first / threshold", "largest / threshold", *_letters()]
    return in_columns(header, (_fault_row(judged) for judged in faults))


def _fault_row(judged: Judged) -> list[str]:
    found = ["not found", "-", "-", "-"]
    if judged.found:
        sizes = (f"{excess(judged.first):.0e}" for excess in (first_excess, largest_excess))
        found = [place(judged.first), "yes" if judged.named_right else "no", *sizes]
    return [judged.variant.id, judged.variant.what, *found, *_marks(judged)]


def place(comparison: Comparison) -> str:
    """Return where a record first leaves its baseline; empty if it does not."""
    divergence = comparison.first_divergence
    if divergence is None:
        return ""
    way = "" if comparison.record.precision == "float64" else "replay: "
    return f"{way}step {divergence.step}, {divergence.stage}, {divergence.stream}"


def benign_table(benign: Sequence[Judged]) -> str:
    """Return one line a benign variant: verdicts, largest deviation, and which rules alarmed."""
    header = ["id", "benign change", "float64", "largest deviation", "replay", *_letters()]
    return in_columns(header, (_benign_row(judged) for judged in benign))


def _benign_row(judged: Judged) -> list[str]:
    sharp, wide = (f"{c.verdict} {place(c)}".strip() for c in (judged.comparison, judged.replay))
    return [judged.variant.id, judged.variant.what, sharp, f"{judged.comparison.largest:.0e}", wide, *_marks(judged)]


def _letters() -> list[str]:
    """Return the letter of each rule, by which the long tables name it."""
    return [chr(ord("a") + column) for column in range(len(RULES))]


def _marks(judged: Judged) -> list[str]:
    return ["x" if alarm else "" for alarm in judged.alarms]


def in_columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
