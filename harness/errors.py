"""Every way to be told "no", worded here and nowhere else.

HarnessError
├── RecipeError            a recipe that cannot be
├── DataError              images that are missing, broken or not what they claim to be
├── ModelError             a model that is unknown or misbehaves
├── DeviceError            a device that is unknown, absent or unable
├── RecorderError          a training loop that is watched in a wrong way
├── RecordError            a text that is no record
├── BaselineError          a baseline that is missing, broken or cannot be written
└── SuiteError             a pytest suite or command line that would compare nothing, or the wrong thing

Each leaf states what went wrong, where, and what to do, as templates that its facts fill in.
"""

from typing import Any, ClassVar


class HarnessError(Exception):
    """Base of all errors that the harness raises on purpose.

    Args:
        **facts: what the templates `what`, `where` and `fix` of the class name in braces; kept in `.facts`.
    """

    what: ClassVar[str]
    where: ClassVar[str] = ""
    fix: ClassVar[str]

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.facts = facts

    def __str__(self) -> str:
        lines = [self.what.format(**self.facts)]
        for label in ("where", "fix"):
            if text := getattr(self, label).format(**self.facts):
                lines.append(f"  {label:<6} {text}")
        return "\n".join(lines)


class RecipeError(HarnessError):
    """A recipe that cannot be."""


class FieldError(RecipeError):
    """A recipe's field has a value outside its range."""

    what = "a recipe cannot have {field}={value!r}"
    where = "Recipe({field}=...)"
    fix = "{field} must be {rule}"


class DataError(HarnessError):
    """Images that are missing, broken or not what they claim to be."""


class NoCifar10Error(DataError):
    """No path to CIFAR-10 was given."""

    what = "this training needs CIFAR-10, and no path to it was given"
    fix = (
        "--cifar10=PATH, HARNESS_CIFAR10=PATH or the ini option cifar10: a folder in torchvision's layout or "
        "an .npz; --cifar10=download fetches it"
    )


class DataMissingError(DataError):
    """Nothing that could be CIFAR-10 stands at the path."""

    what = "there is no CIFAR-10 at {path}"
    where = "looked for {looked_for}"
    fix = "give the folder that holds cifar-10-batches-py, or an .npz file"


class DataCorruptError(DataError):
    """A data file is truncated, half downloaded, of another kind or holds impossible values."""

    what = "{path} cannot be used as CIFAR-10: {reason}"
    fix = "fetch the file again, or point --cifar10 to another copy"


class DataForeignError(DataError):
    """A data file holds images, but not CIFAR-10's."""

    what = "{path} holds images, but not those of CIFAR-10"
    where = "SHA-256 of the images and labels in use {found}, CIFAR-10 has {expected}"
    fix = "point --cifar10 to the official files, or to an .npz made from them in their order"


class TooFewImagesError(DataError):
    """A recipe asks for more images than the data set has."""

    what = "the recipe asks for {asked} {split} images, but {data} has {available}"
    where = "Recipe({split}_images={asked})"
    fix = "ask for at most {available}"


class ModelError(HarnessError):
    """A model that is unknown or misbehaves."""


class ModelOutputError(ModelError):
    """A model returned something else than one row of logits an image."""

    what = "step {step}: the model returned {found}, not logits of shape {expected}"
    where = "model {model}"
    fix = "return one row of {classes} logits an image"


class NotAModelError(ModelError):
    """A model function returned something that is no module."""

    what = "the model function returned {found}, not a torch.nn.Module"
    where = "model {model}"
    fix = "return the module itself"


class DeviceError(HarnessError):
    """A device that is unknown, absent or unable."""


class UnknownDeviceError(DeviceError):
    """A device of a kind that the harness does not know."""

    what = "there is no device {device!r}"
    fix = "use one of {known}"


class NoDeviceError(DeviceError):
    """A device that this machine lacks."""

    what = "this machine has no {device} device ({probe})"
    fix = "run on a machine that has one, or leave {device} out of --device and --require-device"


class DevicePrecisionError(DeviceError):
    """A device that cannot compute in a precision."""

    what = "{device} cannot compute in {precision}"
    fix = "use a recipe of another precision there, or another device"


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


class NotANumberError(RecorderError):
    """Something was logged that is neither a number nor a list of numbers."""

    what = "{name} is {found}, not a number, a scalar tensor or a list of them"
    where = "Recorder.{method}"
    fix = "log numbers: recorder.log(loss=loss)"


class NotABatchError(RecorderError):
    """Something was given as a batch that holds no tensor."""

    what = "{found} holds no tensor or array to fingerprint"
    where = "Recorder.batch"
    fix = "pass the images and labels as tensors, arrays, or lists and dicts of them"


class RecordError(HarnessError):
    """A text that is no record."""

    what = "this text is no training record: {reason}"
    fix = "write it with Record.to_text()"


class NonFiniteError(RecordError):
    """A record holds NaN or infinity where a finite number is needed."""

    what = "{stream} is {value} at step {step} ({stage})"
    where = "the record of {name}"
    fix = "find where the number is made: neither a baseline nor a figure can hold it"


class NoPictureError(RecordError):
    """A record holds no picture of this kind."""

    what = "the record of {name} holds no {picture} images"
    where = "figures.{picture}_grid"
    fix = "{remedy}"


class NoStreamError(RecordError):
    """A record lacks the stream that a figure draws."""

    what = "the record of {name} holds no {stream}"
    where = "figures.{figure}"
    fix = "{remedy}"


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


class BaselineWriteError(BaselineError):
    """A baseline file could not be written; what stood there still stands."""

    what = "the baseline could not be written: {reason}"
    where = "{path}"
    fix = "make the folder writable and the disk roomy, then run the command again; nothing was changed"


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
