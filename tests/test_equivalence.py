"""Promises of judging by seeds: what the verdicts mean, and how often they are wrong."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import errors
from harness.comparing.equivalence import ALPHA, MARGIN_DEVIATIONS, judge


NOISE = {
    "loss": (2.03, 0.010),
    "evaluation/loss": (1.97, 0.012),
    "evaluation/accuracy": (0.25, 0.056),
    "gradient_norm": (0.92, 0.085),
}
"""Mean, and standard deviation over seeds as a share of it, of short trainings on CIFAR-10: measured on 20 seeds."""
SHARED = 0.7
"""Correlation of paired seeds that share all but the augmentation: measured 0.6 to 0.75."""

finite = st.floats(-1e3, 1e3, allow_subnormal=False)
pairs = st.lists(st.tuples(finite, finite), min_size=3, max_size=6)


def seeds_of(values, metric="loss"):
    """Seeds 0, 1, ... with one metric."""
    return {seed: {metric: value} for seed, value in enumerate(values)}


def judged(former, present, metric="loss", planned=None, **options):
    """The judgement of one metric, planned as long as it is."""
    return judge(seeds_of(former, metric), seeds_of(present, metric), planned or len(former), **options)


def sequential(former, present, planned, **options):
    """What a session comes to: a look after every seed from the third until something is decided."""
    for count in range(3, planned + 1):
        result = judge(former, {seed: present[seed] for seed in range(count)}, planned, **options)
        if result.decided:
            break
    return result


def drawn(random, planned, shared, moved, noise):
    """Former and present seeds of one simulated comparison."""
    former, present = ({seed: {} for seed in range(planned)} for _ in range(2))
    for metric, (mean, share) in noise.items():
        common, ours, theirs = random.standard_normal((3, planned))
        for seed in range(planned):
            both, own = math.sqrt(shared) * common[seed], math.sqrt(1 - shared)
            former[seed][metric] = mean * (1 + share * (both + own * ours[seed]))
            present[seed][metric] = mean * (1 + share * (both + own * theirs[seed]) + moved.get(metric, 0.0))
    return former, present


def outcomes(runs, planned, shared=0.0, moved=None, noise=NOISE):
    """Results of simulated sequential comparisons; `moved` is each metric's true shift as a share of its mean."""
    random = np.random.default_rng(0)
    return [sequential(*drawn(random, planned, shared, moved or {}, noise), planned) for _ in range(runs)]


def share_of(verdict, results):
    """How often a verdict came."""
    return fmean(result.verdict == verdict for result in results)


def mean_seeds(results):
    """Seeds trained until the end."""
    return fmean(result.seeds for result in results)


def test_an_unchanged_training_is_seldom_worse():
    """In 2,000 comparisons of eight unpaired seeds each, at all looks together."""
    assert share_of("worse", outcomes(2000, planned=8)) <= ALPHA / 2


def test_the_error_over_looks_and_metrics_is_the_stated_one():
    """Some metric of an unchanged training seems to move at some look in 5 % of the cases: no more, not far less."""
    random = np.random.default_rng(0)
    margins = dict.fromkeys(NOISE, 0.0)
    alarms = 0
    for _ in range(2000):
        former, present = drawn(random, 5, 0.0, {}, NOISE)
        looks = (judge(former, dict(list(present.items())[:count]), 5, margins=margins) for count in (3, 4, 5))
        alarms += any(shift.verdict != "inconclusive" for look in looks for shift in look.shifts)

    assert 0.6 * ALPHA < alarms / 2000 < 1.2 * ALPHA


def test_a_shift_of_the_margin_is_seldom_equivalent():
    """The loss of every comparison rises by just its margin: "equivalent" in 5 % of 2,000 at most, and not never."""
    random = np.random.default_rng(0)
    equivalent = 0
    for _ in range(2000):
        former, present = random.standard_normal((2, 6))
        margin = MARGIN_DEVIATIONS * stdev(former)
        result = sequential(seeds_of(former), seeds_of(present + margin), 6)
        equivalent += result.verdict == "equivalent"

    assert 0.02 < equivalent / 2000 < ALPHA


@pytest.mark.parametrize(("metric", "sign"), [("loss", 1), ("evaluation/loss", 1), ("evaluation/accuracy", -1)])
def test_a_shift_of_two_margins_is_not_equivalent(metric, sign):
    """One metric is enough, whichever it is."""
    results = outcomes(300, planned=8, shared=SHARED, moved={metric: sign * 4 * NOISE[metric][1]})

    assert share_of("equivalent", results) <= ALPHA
    assert share_of("worse", results) > 0.95


def test_a_gradient_norm_that_moves_leaves_it_open():
    """Nobody knows whether it is for the worse, but equivalent it is not."""
    results = outcomes(200, planned=8, shared=SHARED, moved={"gradient_norm": 4 * NOISE["gradient_norm"][1]})

    assert share_of("inconclusive", results) > 0.9
    assert {result.shifts[-1].verdict for result in results} == {"different"}


def test_equivalence_is_reached():
    """Nothing changed: eight paired seeds show it in nine of ten cases, twelve unpaired ones in three of four."""
    paired, unpaired = outcomes(300, planned=8, shared=SHARED), outcomes(300, planned=12)

    assert share_of("equivalent", paired) > 0.9
    assert share_of("equivalent", unpaired) > 0.75
    assert mean_seeds(paired) < 7
    assert mean_seeds(unpaired) < 11


def test_a_loss_that_rises_by_five_percent_is_found_early():
    """By two thirds of the planned seeds on average, unpaired."""
    results = outcomes(300, planned=8, moved={"loss": 0.05, "evaluation/loss": 0.05})

    assert share_of("worse", results) > 0.98
    assert mean_seeds(results) < 16 / 3


def test_noise_with_heavy_tails_or_steps_does_not_make_it_alarm():
    """Student's t with 3 degrees of freedom; accuracies of 100 images, of which many are equal."""
    random = np.random.default_rng(0)
    worse = 0
    for _ in range(500):
        losses, rights = random.standard_t(3, (2, 8)), random.binomial(100, 0.1, (2, 8)) / 100
        former, present = (
            {seed: {"loss": losses[side, seed], "accuracy": rights[side, seed]} for seed in range(8)} for side in (0, 1)
        )
        worse += sequential(former, present, 8).verdict == "worse"

    assert worse / 500 <= ALPHA / 2


@pytest.mark.parametrize(
    ("metric", "sign", "metric_verdict", "verdict"),
    [
        ("loss", 1, "worse", "worse"),
        ("loss", -1, "better", "equivalent"),
        ("evaluation/average_accuracy", -1, "worse", "worse"),
        ("evaluation/average_accuracy", 1, "better", "equivalent"),
        ("gradient_norm", 1, "different", "inconclusive"),
        ("gradient_norm", -1, "different", "inconclusive"),
    ],
)
def test_the_direction_decides(metric, sign, metric_verdict, verdict):
    """Losses up and accuracies down are worse; the other way is better, and does not stand against equivalence."""
    result = judged([1.0, 1.1, 0.9, 1.05], [1.0 + sign * shift for shift in (3.0, 3.2, 2.9, 3.0)], metric)

    assert (result.shifts[0].verdict, result.verdict) == (metric_verdict, verdict)


def test_a_small_difference_is_equivalent_however_sure_it_is():
    """What stays within the margin costs nothing, even where the interval leaves out zero."""
    (shift,) = judged([1.0, 1.1, 0.9], [1.02, 1.12, 0.92]).shifts

    assert shift.difference > shift.corrected_reach
    assert shift.verdict == "equivalent"


def test_one_worse_metric_makes_the_training_worse():
    """Whatever else got better."""
    former = {seed: {"loss": 1.0 + seed / 10, "accuracy": 0.5 + seed / 10} for seed in range(3)}
    present = {seed: {metric: value + 5 for metric, value in values.items()} for seed, values in former.items()}
    result = judge(former, present, 3)

    assert [shift.verdict for shift in result.shifts] == ["worse", "better"]
    assert result.verdict == "worse"


def test_the_same_numbers_are_equivalent_after_three_seeds():
    """Differences that are all zero leave nothing to wait for."""
    values = [1.0, 1.5, 0.7, 2.0, 1.1, 0.9, 1.3, 1.2]
    result = judge(seeds_of(values), seeds_of(values[:3]), 8)

    assert (result.verdict, result.decided, result.seeds, result.planned) == ("equivalent", True, 3, 8)
    assert result.shifts[0].reach == 0.0


def test_a_constant_difference_is_sure():
    """Beyond the margin it is a difference at the first look, without a division by zero."""
    (shift,) = judged([1.0, 2.0, 3.0], [9.0, 10.0, 11.0]).shifts

    assert (shift.difference, shift.reach, shift.verdict) == (8.0, 0.0, "worse")


def test_a_metric_of_zeros_is_equivalent_to_itself_only():
    """Its margin is zero, too."""
    assert judged([0.0] * 3, [0.0] * 3).verdict == "equivalent"
    assert judged([0.0] * 3, [1e-9] * 3).verdict == "worse"


def test_it_goes_on_until_the_plan_ends():
    """Undecided before the last planned seed means one more; after it, inconclusive is the answer."""
    former, present = [1.0, 1.2, 0.8, 1.1, 0.9], [1.3, 0.7, 1.2, 0.9, 1.1]
    early, late = (judge(seeds_of(former), seeds_of(present[:count]), 5) for count in (4, 5))

    assert (early.verdict, early.decided) == ("inconclusive", False)
    assert (late.verdict, late.decided) == ("inconclusive", True)


def test_the_margin_is_two_deviations_of_all_the_baseline_s_seeds():
    """Of those without a partner yet, too, so that it is the same at every look."""
    former = [1.0, 1.2, 0.8, 1.1, 0.9]
    margins = [judge(seeds_of(former), seeds_of(former[:n]), 5).shifts[0].margin for n in (3, 4, 5)]

    assert margins == pytest.approx([2 * stdev(former)] * 3)


def test_the_margin_is_at_least_one_percent():
    """Of seeds that hardly scatter."""
    assert judged([2.0, 2.0, 2.0], [2.0, 2.0, 2.0]).shifts[0].margin == pytest.approx(0.02)


def test_a_margin_can_be_given():
    """In the metric's unit, for the metrics that are named."""
    former = {seed: {"loss": 1.0 + seed, "accuracy": 0.5} for seed in range(3)}
    shifts = judge(former, former, 3, margins={"loss": 0.125}).shifts

    assert [shift.margin for shift in shifts] == [0.125, 0.005]


def test_one_look_is_student_s_test():
    """Planned for the least, half-widths are those of the tables: t(2 degrees, 95 %) = 2.920, t(2, 97.5 %) = 4.303."""
    (shift,) = judged([0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]).shifts

    assert shift.reach == pytest.approx(2.920 / math.sqrt(3), rel=0.02)
    assert shift.corrected_reach == pytest.approx(4.303 / math.sqrt(3), rel=0.02)


def test_more_metrics_take_more_evidence_of_a_difference_but_not_of_equivalence():
    """Of six metrics one seems to move more often; all have to be equivalent, which needs no correction."""
    former, present = {0: 1.0, 1: 1.2, 2: 0.8}, {0: 1.1, 1: 1.0, 2: 0.9}
    one, six = (
        judge(*({seed: dict.fromkeys(names, v) for seed, v in side.items()} for side in (former, present)), 3).shifts[0]
        for names in ("a", "abcdef")
    )

    assert six.reach == one.reach
    assert six.corrected_reach > 2 * one.corrected_reach


@given(pairs)
def test_swapping_the_sides_mirrors_the_verdict(values):
    """The difference changes its sign, worse becomes better, nothing else moves."""
    former, present = zip(*values, strict=True)
    margins = {"loss": 0.5}
    (there,), (back,) = (judged(*sides, margins=margins).shifts for sides in ((former, present), (present, former)))
    mirrored = {"worse": "better", "better": "worse"}

    assert back.difference == -there.difference
    assert (back.reach, back.corrected_reach) == (there.reach, there.corrected_reach)
    assert back.verdict == mirrored.get(there.verdict, there.verdict)


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_matter(values, random):
    """Only which seed is paired with which does."""
    former, present = (seeds_of(side) for side in zip(*values, strict=True))
    seeds = list(present)
    random.shuffle(seeds)
    (one,) = judge(former, present, len(values)).shifts
    (other,) = judge(former, {seed: present[seed] for seed in seeds}, len(values)).shifts

    assert (other.former, other.present, other.margin) == (one.former, one.present, one.margin)
    assert other.reach == pytest.approx(one.reach)


@given(pairs, st.integers(-8, 8))
def test_the_unit_does_not_matter(values, exponent):
    """A loss in other units, by a power of two so that nothing is rounded, gets the same verdict."""
    former, present = zip(*values, strict=True)
    one, other = (judged([unit * v for v in former], [unit * v for v in present]) for unit in (1.0, 2.0**exponent))

    assert other.verdict == one.verdict
    assert other.shifts[0].difference == 2.0**exponent * one.shifts[0].difference


GOOD = seeds_of([1.0, 1.1, 0.9, 1.2])
LATER = {seed + 2: metrics for seed, metrics in GOOD.items()}
EMPTY = {seed: {} for seed in range(3)}
BAD = [
    (GOOD, GOOD, 2, "planned seeds: 2, but it takes 3 or more"),
    (GOOD, GOOD, 5, "baseline seeds: 4, but it takes the 5 planned ones"),
    ({}, {}, 3, "baseline seeds: 0, but it takes the 3 planned ones"),
    (GOOD, seeds_of([1.0, 1.0]), 4, "present seeds: 2, but it takes 3 to 4"),
    (GOOD, GOOD, 3, "present seeds: 4, but it takes 3 to 3"),
    (GOOD, LATER, 4, "the baseline holds no summary of seed 4"),
    (EMPTY, EMPTY, 3, "hold no metric"),
    (GOOD, EMPTY, 4, "loss is in seed 0 of the baseline, but not in seed 0 of the present"),
    ({**GOOD, 2: {}}, GOOD, 4, "but not in seed 2 of the baseline"),
    (GOOD, {**GOOD, 3: {"loss": 1.0, "gain": 1.0}}, 4, "gain is in seed 3 of the present"),
    (GOOD, {**GOOD, 1: {"loss": math.nan}}, 4, "loss is nan, not a finite number"),
    ({**GOOD, 1: {"loss": math.inf}}, GOOD, 4, "loss is inf, not a finite number"),
    ({**GOOD, 1: {"loss": "low"}}, GOOD, 4, "loss is 'low', not a finite number"),
]


@pytest.mark.parametrize(("former", "present", "planned", "text"), BAD)
def test_seeds_that_cannot_be_judged_are_refused(former, present, planned, text):
    """Before anything is computed, and by name."""
    with pytest.raises(errors.EquivalenceError, match=text):
        judge(former, present, planned)


def test_a_margin_of_an_unknown_metric_is_refused():
    """A misspelt name would be a margin that nothing is held to."""
    with pytest.raises(errors.EquivalenceError, match="los is in the margins, but not in seed 0 of the baseline"):
        judge(GOOD, GOOD, 4, margins={"los": 1.0})
