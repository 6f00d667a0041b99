"""Errors about the gate: baselines and test suites."""

from harness.errors.base import HarnessError


__all__ = [
    "BaselineCorruptError",
    "BaselineEditedError",
    "BaselineEnvironmentError",
    "BaselineError",
    "BaselineMissingError",
    "BaselineNonFiniteError",
    "BaselineStatesError",
    "BaselineWriteError",
    "CheckedTwiceError",
    "HistoryFileError",
    "MarkerOptionError",
    "NotAFigureError",
    "NotComparedError",
    "NotGeneratingError",
    "NotStoredError",
    "OutputWriteError",
    "RemoteBaselineError",
    "RerunError",
    "RerunFailedError",
    "ResultsAlwaysError",
    "RevisionError",
    "SharedBaselineError",
    "SuiteError",
    "UnrepeatableError",
]


class BaselineError(HarnessError):
    """A baseline that is missing, broken or cannot be written."""


class BaselineMissingError(BaselineError):
    """No baseline is stored for this test."""

    what = "there is no baseline for this training yet"
    where = "{path}"
    fix = "{command}"


class BaselineCorruptError(BaselineError):
    """A baseline file is not a record."""

    what = "the baseline cannot be read: {reason}"
    where = "{path}"
    fix = "restore it (git checkout -- {path}) or regenerate it: {command}"


class BaselineEditedError(BaselineError):
    """A baseline's numbers are not those that were written."""

    what = "the baseline was edited after it was written: its checksum does not fit its contents"
    where = "{path}"
    fix = "restore it (git checkout -- {path}) or regenerate it: {command}"


class BaselineNonFiniteError(BaselineError):
    """A baseline holds NaN or infinity."""

    what = "the baseline holds {value} in {stream} at step {step} ({stage})"
    where = "{path}"
    fix = "no training can equal it; regenerate it: {command}"


class BaselineEnvironmentError(BaselineError):
    """Under --strict: a low-precision training has no baseline of its own environment."""

    what = "no baseline of this environment is stored, and --strict takes no other; there is one {choice}"
    where = "{path}"
    fix = "store one for this environment, too: {command} --add-environment"


class BaselineStatesError(BaselineError):
    """The states that belong to a baseline cannot be used."""

    what = "the states of the baseline cannot be read: {reason}"
    where = "{path}"
    fix = "restore them (git checkout -- {path}) or regenerate the baseline: {command}"


class BaselineWriteError(BaselineError):
    """A baseline file could not be written; what stood there still stands."""

    what = "the baseline could not be written: {reason}"
    where = "{path}"
    fix = "make the folder writable and the disk roomy, then run the command again; nothing was changed"


class NotStoredError(BaselineError):
    """A command was given a name that no baseline has."""

    what = "there is no baseline, file or folder {name!r}"
    where = "{place}"
    fix = "give a name that `harness list` prints, a file, a folder, or REVISION:PATH"


class RevisionError(BaselineError):
    """A command was given something that git does not know."""

    what = "git has nothing under {text!r}"
    where = "{place}"
    fix = "{remedy}"


class RerunError(HarnessError):
    """A training that could not be run again as a rerun has to be."""


class RerunFailedError(RerunError):
    """A training that was run again, varied, came to no end."""

    what = "this training was run again with {variation}, and that run left no record"
    where = "{nodeid}"
    fix = "run the test alone and look at its output; the last lines of the run were:\n{output}"


class UnrepeatableError(RerunError):
    """A training that is another one each time, so that nothing can be planted in it."""

    what = "this training, run again without any change, is not the same"
    where = "{nodeid}"
    fix = "draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators of its own"


class SuiteError(HarnessError):
    """A pytest suite or command line that would compare nothing, or the wrong thing."""


class NotComparedError(SuiteError):
    """A figure test ran in CI without being compared."""

    what = "this figure was collected but not compared"
    where = "{nodeid}"
    fix = "run pytest with --mpl (CI is set, and a gate that compares nothing must not be green)"


class NotAFigureError(SuiteError):
    """A figure test returned no figure."""

    what = "the test returned {found}, not a figure"
    where = "{nodeid}"
    fix = "end the test with `return figure`"


class HistoryFileError(SuiteError):
    """The margins of past runs cannot be kept."""

    what = "the history of margins cannot be kept: {reason}"
    where = "{path}"
    fix = "name a file in a folder that can be written: --training-history=FILE, or the ini option training_history"


class OutputWriteError(SuiteError):
    """What a session leaves beside its baselines, its report and pictures, could not be written."""

    what = "what this session found cannot be kept: {reason}"
    where = "{path}"
    fix = "see to it that the disk has room and that this place can be written to, then run pytest again"


class MarkerOptionError(SuiteError):
    """A figure test's marker has an option that pytest-mpl would ignore."""

    what = "mpl_image_compare has no option {option!r}, and pytest-mpl would ignore it"
    where = "{nodeid}"
    fix = "use one of {known}"


class SharedBaselineError(SuiteError):
    """Two tests would share one baseline file."""

    what = "two tests share the baseline file {file}"
    where = "{first} and {second}"
    fix = "rename one of them, or give it another filename"


class CheckedTwiceError(SuiteError):
    """One test checked two records under one name."""

    what = "this test checks a second record under the name {name!r}"
    where = "{nodeid}"
    fix = "name it: training_regression.check(record, name='...')"


class NotGeneratingError(SuiteError):
    """An option for writing baselines was given where none are written."""

    what = "{option} is about baselines that are written, and none are"
    where = "the command line"
    fix = "add --mpl-generate-path=baselines, or leave {option} out"


class ResultsAlwaysError(SuiteError):
    """The ini file says False and pytest-mpl reads True."""

    what = "mpl-results-always = {value} means true to pytest-mpl"
    where = "{path}"
    fix = "remove the line"


class RemoteBaselineError(SuiteError):
    """Baselines were asked for by URL."""

    what = "baselines cannot be read from {path}: records are compared with local files"
    where = "--mpl-baseline-path"
    fix = "check the baselines out beside the tests"
