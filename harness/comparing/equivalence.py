"""Whether a training that draws other random numbers is still as good: paired seeds, held against a baseline's.

The test, metric by metric, on the differences `present - former` of paired seeds:

- *A look after every seed* from the third. Critical values of Student's t are simulated so that over all looks
  together the error is the stated one, growing as (seeds / planned)^2 (error spending: Kim & DeMets, Biometrika 74,
  1987; intervals that hold at every look: Jennison & Turnbull, J. R. Stat. Soc. B 51, 1989). It may stop at any look,
  but the number of planned seeds has to be settled before the first.
- *Equivalent*: the 90 % interval of the mean difference lies within the margin (TOST: Schuirmann, J. Pharmacokinet.
  Biopharm. 15, 1987). All metrics have to pass, which needs no correction (Berger, Technometrics 24, 1982).
- *Worse, better or different*: the interval at 95 % over all metrics together (Bonferroni) leaves out zero, and the
  metric is not equivalent.

Errors, for normal differences: if a metric gets worse by its margin or more (moves by it, where better is unknown), the
verdict is "equivalent" with a probability of at most 5 %; if nothing moves, it is "worse" with at most 2.5 %. Intervals
that hold for any number of seeds (mixtures of e-values) need no plan, but at 8 seeds they are 1.6 times as wide, which
takes 2.5 times as many seeds.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from harness.comparing.metrics import of_seeds
from harness.errors import EquivalenceError
from harness.record import Record
from harness.recording.perturbation import Rerunner


Seeds = Mapping[int, Mapping[str, float]]
"""Seed to the metrics of its training, as `summary.summary` gives them."""

Verdict = Literal["equivalent", "worse", "inconclusive"]
MetricVerdict = Literal["equivalent", "better", "worse", "different", "inconclusive"]

ALPHA = 0.05
"""Probability of a wrong "equivalent", and of a difference that is none."""
LEAST_SEEDS = 3
"""Seeds before the first look: two differences have a standard deviation that means nothing."""
MARGIN_DEVIATIONS = 2.0
"""A metric's margin, in standard deviations of the baseline's seeds. Two seeds of one training lie further apart in one
case of six, so a baseline of one seed cannot show a smaller shift. It is also what can be had: of an unchanged training
of the shipped ResNet on CIFAR-10, 8 planned seeds show all six metrics equivalent in about 95 % of the cases if only
augmentation draws anew; if everything does, in 30 %, and 12 seeds in 80 %. Fixed margins of 1 % of the loss (seeds
scatter by 1.2 %) and 1 point of accuracy (2.2 points) would take 30 and 100 seeds."""
MARGIN_SHARE = 0.01
"""The least margin, as a share of the baseline's mean: a smaller shift costs nobody anything."""
_SERIES = 200_000
"""Simulated series; the critical values are good to about 1 %."""
_LOWER_IS_BETTER = {"loss", "error", "perplexity"}
_HIGHER_IS_BETTER = {"accuracy", "acc", "score", "reward"}


@dataclass(frozen=True)
class Shift:
    """How far a metric moved."""

    metric: str
    better: Literal["lower", "higher"] | None  # which way is better, where that is known
    former: float  # mean over the baseline's seeds that have a partner
    present: float  # mean over the present seeds
    reach: float  # half-width of the 90 % interval of the difference, which decides on equivalence
    corrected_reach: float  # half-width of its interval at 95 % over all metrics, which decides on a difference
    margin: float  # the largest difference that does not matter

    @property
    def difference(self) -> float:
        """Present mean less former mean."""
        return self.present - self.former

    @property
    def verdict(self) -> MetricVerdict:
        """What is shown of this metric; "different" where it moved and better is unknown."""
        if abs(self.difference) + self.reach <= self.margin:
            return "equivalent"
        if abs(self.difference) <= self.corrected_reach:
            return "inconclusive"
        if self.better is None:
            return "different"
        return "better" if (self.difference < 0) == (self.better == "lower") else "worse"


@dataclass(frozen=True)
class Equivalence:
    """A training's seeds held against its baseline's."""

    shifts: tuple[Shift, ...]
    seeds: int  # pairs of seeds judged
    planned: int  # pairs that the plan allows

    @property
    def verdict(self) -> Verdict:
        """worse: a metric is; equivalent: every metric is equivalent or better; inconclusive: neither is shown.

        A metric that differs without a known direction leaves it inconclusive: somebody has to look at it.
        """
        found = {shift.verdict for shift in self.shifts}
        if "worse" in found:
            return "worse"
        return "equivalent" if found <= {"equivalent", "better"} else "inconclusive"

    @property
    def decided(self) -> bool:
        """Whether no further seed is to be trained."""
        return self.verdict != "inconclusive" or self.seeds == self.planned


def judged(former: Seeds, record: Record, planned: int, rerun: Rerunner) -> Equivalence:
    """Train seed after seed, the first of which is recorded, until a training is told from its baseline or as good."""
    present: dict[int, Mapping[str, float]] = {}
    for seed, metrics in of_seeds(record, planned, rerun):
        present[seed] = metrics
        if len(present) >= LEAST_SEEDS and (result := judge(former, present, planned)).decided:
            return result
    return judge(former, present, planned)


def judge(former: Seeds, present: Seeds, planned: int, *, margins: Mapping[str, float] | None = None) -> Equivalence:
    """Judge whether a training is equivalent to its baseline, after any seed from the third on.

    Args:
        former: the baseline's seeds, at least the planned ones; all of them count for the margins.
        present: the seeds trained so far.
        planned: seeds that are trained if nothing is decided before; the same at every look.
        margins: largest difference that does not matter, in the metric's unit; of metrics that are not named, two
            standard deviations of the baseline's seeds, and at least 1 % of their mean.

    Raises:
        EquivalenceError: fewer than three seeds, more than planned, or more planned than the baseline holds.
        EquivalenceError: a present seed is not in the baseline.
        EquivalenceError: the summaries are empty.
        EquivalenceError: a metric is not in every seed, or a margin's metric in none.
        EquivalenceError: a metric is not a finite number.
    """
    _check_counts(former, present, planned)
    metrics = list(next(iter(former.values())))
    _check_metrics(metrics, former, present, margins or {})
    critical = [_critical_values(level, planned)[len(present)] for level in (2 * ALPHA, ALPHA / len(metrics))]
    shifts = []
    for metric in metrics:
        values = [seed[metric] for seed in former.values()]
        margin = max(MARGIN_DEVIATIONS * _deviation(values), MARGIN_SHARE * abs(fmean(values)))
        pairs = [(former[seed][metric], metrics_of_seed[metric]) for seed, metrics_of_seed in present.items()]
        shifts.append(_shift(metric, pairs, critical, (margins or {}).get(metric, margin)))
    return Equivalence(tuple(shifts), len(present), planned)


def _check_counts(former: Seeds, present: Seeds, planned: int) -> None:
    held, trained, least = len(former), len(present), f"{LEAST_SEEDS} or more"
    if planned < LEAST_SEEDS:
        raise EquivalenceError.seed_count(kind="planned", found=planned, needed=least, remedy=f"plan {least}")
    if held < planned:
        needed, remedy = f"the {planned} planned ones", f"plan {held}, or regenerate the baseline with {planned}"
        raise EquivalenceError.seed_count(kind="baseline", found=held, needed=needed, remedy=remedy)
    if not LEAST_SEEDS <= trained <= planned:
        needed, remedy = f"{LEAST_SEEDS} to {planned}", "judge after the third seed, and stop at the planned one"
        raise EquivalenceError.seed_count(kind="present", found=trained, needed=needed, remedy=remedy)
    for seed in present:
        if seed not in former:
            raise EquivalenceError.unknown_seed(seed=seed, known=former)


def _check_metrics(metrics: Sequence[str], former: Seeds, present: Seeds, margins: Mapping[str, float]) -> None:
    if not metrics:
        raise EquivalenceError.no_metric()
    first = f"seed {next(iter(former))} of the baseline"
    sides = [("the baseline", *entry) for entry in former.items()]
    sides += [("the present training", *entry) for entry in present.items()]
    for side, seed, values in sides:
        place = f"seed {seed} of {side}"
        for metric in metrics:
            if metric not in values:
                raise EquivalenceError.metric_missing(metric=metric, place=first, other=place)
            if not (isinstance(values[metric], int | float) and math.isfinite(values[metric])):
                raise EquivalenceError.not_finite(metric=metric, value=values[metric], seed=seed, side=side)
        for metric in values.keys() - set(metrics):
            raise EquivalenceError.metric_missing(metric=metric, place=place, other=first)
    for metric in margins.keys() - set(metrics):
        raise EquivalenceError.metric_missing(metric=metric, place="the margins", other=first)


def _shift(metric: str, pairs: Sequence[tuple[float, float]], critical: Sequence[float], margin: float) -> Shift:
    """Compare paired seeds; differences that are all the same have an interval of no width."""
    former, present = zip(*pairs, strict=True)
    error = _deviation([now - before for before, now in pairs]) / math.sqrt(len(pairs))
    reach, corrected_reach = (value * error for value in critical)
    return Shift(metric, _better(metric), fmean(former), fmean(present), reach, corrected_reach, margin)


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation, with n - 1; not by `statistics`, whose fractions take a hundred times as long."""
    return math.dist(values, [fmean(values)] * len(values)) / math.sqrt(len(values) - 1)


def _better(metric: str) -> Literal["lower", "higher"] | None:
    """Tell from a metric's name which way is better: `evaluation/average_loss` has the word "loss"."""
    words = set(re.split("[^a-z]+", metric.lower()))
    if words & _LOWER_IS_BETTER:
        return "lower"
    return "higher" if words & _HIGHER_IS_BETTER else None


@functools.cache
def _critical_values(level: float, planned: int) -> dict[int, float]:
    """Return, by number of seeds, how far |t| of a mean of zero goes; beyond it at any look with probability `level`.

    Series of standard normal differences are followed from look to look; those that cross drop out.
    """
    import numpy as np  # here, because a session without training must not pay for it

    random = np.random.default_rng(0)
    sums, squares = np.zeros(_SERIES), np.zeros(_SERIES)
    critical = {}
    for seeds in range(1, planned + 1):
        draws = random.standard_normal(len(sums))
        sums, squares = sums + draws, squares + draws**2
        if seeds >= LEAST_SEEDS:
            t = np.abs(sums) / np.sqrt((seeds * squares - sums**2) / (seeds - 1))
            last = round(_SERIES * (1 - level * (seeds / planned) ** 2)) - 1
            critical[seeds] = float(np.partition(t, last)[last])
            sums, squares = sums[t <= critical[seeds]], squares[t <= critical[seeds]]
    return critical
