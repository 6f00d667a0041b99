"""Errors about results that were to become baselines."""

from harness.errors.base import HarnessError


__all__ = [
    "AcceptError",
    "CandidateCorruptError",
    "CandidateIncompleteError",
    "CandidateStaleError",
    "NeedsTrainingError",
    "NoCandidateError",
    "NoReasonError",
    "NothingFailedError",
]


class AcceptError(HarnessError):
    """A result that cannot become a baseline."""


class NothingFailedError(AcceptError):
    """No failed comparison is kept."""

    what = "no result of a failed comparison is kept here"
    where = "{place}"
    fix = "run pytest --mpl first; what differs from its baseline can then be accepted"


class NoCandidateError(AcceptError):
    """No failed comparison of this name is kept."""

    what = "no result of a failed comparison is called {name!r}"
    where = "{place}"
    fix = "use one of {known}"


class NoReasonError(AcceptError):
    """A baseline was to be changed for no reason."""

    what = "a baseline does not change without a reason"
    where = "{option}"
    fix = '{option} "...", in words that a reviewer will understand'


class CandidateCorruptError(AcceptError):
    """What is known of a result cannot be read."""

    what = "the note on a failed comparison cannot be used: {reason}"
    where = "{path}"
    fix = "delete it and run the test again"


class CandidateIncompleteError(AcceptError):
    """A result is gone, cut off or no result."""

    what = "the result cannot be accepted: {reason}"
    where = "{path}"
    fix = "run the test again, or train anew: {command}"


class CandidateStaleError(AcceptError):
    """A result is older than its baseline or its sources."""

    what = "the result for {name} is stale: {reason}"
    where = "{test}"
    fix = "run the test again: pytest --mpl '{test}'"


class NeedsTrainingError(AcceptError):
    """A result lacks a part of the baseline that only a training can make."""

    what = "the result for {name} is no whole baseline: {obstacle}"
    where = ""
    fix = "{command}"
