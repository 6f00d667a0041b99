"""Errors about what a session left for the report."""

from harness.errors.base import HarnessError


__all__ = ["ReportWriteError", "ResultsCorruptError", "ResultsError", "ResultsMissingError"]


class ResultsError(HarnessError):
    """Results of a session that no report can be made from."""


class ResultsMissingError(ResultsError):
    """No session has left results here."""

    what = "there are no results of a session here"
    where = "{path}"
    fix = "run pytest --mpl first, or give a folder that holds its results.json: build/harness, an artifact of CI"


class ResultsCorruptError(ResultsError):
    """A file holds no results of a session."""

    what = "the results of a session cannot be read: {reason}"
    where = "{path}"
    fix = "run pytest --mpl again, or fetch the artifact again; a file of another version needs that version"


class ReportWriteError(ResultsError):
    """The report could not be written."""

    what = "the report could not be written: {reason}"
    where = "{path}"
    fix = "name another file: harness report --output FILE"
