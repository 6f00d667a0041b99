"""Errors about judging a training by several seeds."""

from harness.errors.base import HarnessError


__all__ = [
    "EquivalenceError",
    "MetricMissingError",
    "MetricValueError",
    "NoMetricError",
    "NoSeedsError",
    "SeedCountError",
    "SeedMissingError",
]


class EquivalenceError(HarnessError):
    """Seeds that cannot be judged together."""


class SeedCountError(EquivalenceError):
    """There are fewer or more seeds than the test is made for."""

    what = "{kind} seeds: {found}, but it takes {needed}"
    where = "equivalence.judge"
    fix = "{remedy}"


class SeedMissingError(EquivalenceError):
    """A seed was trained that the baseline has no summary of."""

    what = "the baseline holds no summary of seed {seed}"
    where = "it holds those of seeds {known}"
    fix = "train the seeds that the baseline holds: a seed is compared with itself"


class NoSeedsError(EquivalenceError):
    """A baseline was made without the seeds that a training is to be paired with."""

    what = "the baseline holds the summaries of {found} seeds, too few to judge by {seeds}"
    where = "{path}"
    fix = "on the former version of the code, run: {command}"


class MetricMissingError(EquivalenceError):
    """A metric stands on one side only."""

    what = "{metric} is in {place}, but not in {other}"
    where = "equivalence.judge"
    fix = "log the same numbers in every seed's training; if they changed on purpose, regenerate the baseline"


class MetricValueError(EquivalenceError):
    """A summary holds something that is not a finite number."""

    what = "{metric} is {value!r}, not a finite number"
    where = "seed {seed} of {side}"
    fix = "find out why this seed's training ends so; no mean can be taken over it"


class NoMetricError(EquivalenceError):
    """Summaries are empty, so there is nothing to judge by."""

    what = "the seeds' summaries hold no metric"
    where = "equivalence.judge"
    fix = "log a number in the training: recorder.log(loss=loss)"
