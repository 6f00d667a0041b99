"""Errors about recording: watched loops and records."""

from harness.errors.base import HarnessError


__all__ = [
    "ForeignOptimizerError",
    "LowPrecisionError",
    "MixedPrecisionError",
    "NeverSteppedError",
    "NoLibraryError",
    "NoLossError",
    "NoPictureError",
    "NoStreamError",
    "NonFiniteError",
    "NotABatchError",
    "NotANumberError",
    "NotFinishedError",
    "NotRecordingError",
    "NothingWatchedError",
    "RecordError",
    "RecorderError",
    "SameNamesError",
    "StatesError",
    "UnknownFaultError",
    "WatchedTwiceError",
    "WrongDtypeError",
]


class RecorderError(HarnessError):
    """A training loop that is watched in a wrong way."""


class NotRecordingError(RecorderError):
    """A recorder was used outside its `with` block."""

    what = "the recorder is not recording"
    where = "Recorder.{method}"
    fix = "call it inside `with Recorder(...) as recorder:`"


class NotFinishedError(RecorderError):
    """A record was asked for before the loop ended."""

    what = "there is no record yet: the `with Recorder(...)` block has not ended, or ended with an exception"
    where = "Recorder.record"
    fix = "read recorder.record after the block"


class NothingWatchedError(RecorderError):
    """The loop ended and no model was watched."""

    what = "no model was watched, so there is nothing to compare"
    where = "the `with Recorder(...)` block"
    fix = "call recorder.watch(model, optimizer) before the loop"


class NeverSteppedError(RecorderError):
    """The loop ended and no watched optimizer took a step."""

    what = "no watched optimizer took a step"
    where = "the `with Recorder(...)` block"
    fix = "watch the optimizer whose step() the loop calls: recorder.watch(model, optimizer)"


class NoLossError(RecorderError):
    """The loop ended and no loss was logged."""

    what = "no loss was logged in {steps} steps"
    where = "the `with Recorder(...)` block"
    fix = "call recorder.log(loss=loss) once a step"


class NoLibraryError(RecorderError, ModuleNotFoundError):
    """The framework of an adapter is not installed."""

    what = "{library} is not installed"
    where = "harness.adapters.{extra}"
    fix = "pip install 'pytest-training-regression[{extra}]'"


class WatchedTwiceError(RecorderError):
    """A model and optimizer were watched twice."""

    what = "this model and optimizer are watched already"
    where = "Recorder.watch"
    fix = "call watch once, before the loop; after a resume, with the new model and optimizer"


class ForeignOptimizerError(RecorderError):
    """The optimizer holds no parameter of the model."""

    what = "the optimizer holds no parameter of the model"
    where = "Recorder.watch"
    fix = "pass the optimizer that was built from this model's parameters"


class SameNamesError(RecorderError):
    """Two watched models whose tensors have the same names are both trained."""

    what = "two watched models whose tensors have the same names are both trained"
    where = "step {step}, optimizer.step()"
    fix = "give each a name: recorder.watch(model, optimizer, name='teacher')"


class WrongDtypeError(RecorderError):
    """A watched model is not in the precision of the recorder."""

    what = "{tensor} is {found}, but this run is in {precision}"
    where = "Recorder.watch"
    fix = "build the model inside `with Recorder(...)`, or convert it with model.to(torch.{dtype})"


class LowPrecisionError(RecorderError):
    """A model computes in lower precision than the run."""

    what = "{module} computes in {found}, but this run is in float64"
    where = "{place}"
    fix = "compute in the dtype of its input, or record the training in float32: Recorder(precision='float32')"


class MixedPrecisionError(RecorderError):
    """Torch refused to mix two precisions."""

    what = "{module} met {found} at once, but this run is in {precision}"
    where = "{place}"
    fix = (
        "convert what is not {dtype} with .to(torch.{dtype}); if the model insists on another precision, "
        "record the training in that: Recorder(precision=...)"
    )


class NotANumberError(RecorderError):
    """Something was logged that is neither a number nor a list of numbers."""

    what = "{name} is {found}, not a number, a scalar tensor or a list of them"
    where = "Recorder.{method}"
    fix = "log numbers: recorder.log(loss=loss)"


class NotABatchError(RecorderError):
    """Something was given as a batch that holds no tensor."""

    what = "{found} is no batch"
    where = "Recorder.{method}"
    fix = "pass images and labels, one label an image, as tensors, arrays, or lists and dicts of them"


class UnknownFaultError(RecorderError):
    """A variation names a fault that there is not."""

    what = "there is no fault {fault!r}"
    where = "Variation(fault=...)"
    fix = "use one of {known}"


class RecordError(HarnessError):
    """A text that is no record."""

    what = "this text is no training record: {reason}"
    fix = "write it with Record.to_text()"


class NonFiniteError(RecordError):
    """A record holds NaN or infinity where a finite number is needed."""

    what = "{stream} is {value} at step {step} ({stage})"
    where = "the record of {name}"
    fix = "find where the number is made: neither a baseline nor a figure can hold it"


class StatesError(RecordError):
    """A file that holds no states of a training."""

    what = "these are no stored states of a training: {reason}"
    fix = "write them with States.to_bytes()"


class NoPictureError(RecordError):
    """A record lacks the picture, histogram or table that a figure draws."""

    what = "the record of {name} holds no {picture}"
    where = "figures.{figure}"
    fix = "{remedy}"


class NoStreamError(RecordError):
    """A record lacks the stream that a figure draws."""

    what = "the record of {name} holds no {stream}"
    where = "figures.{figure}"
    fix = "{remedy}"
