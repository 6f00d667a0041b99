"""Every way to be told "no", worded in this room and nowhere else.

HarnessError
├── RecipeError            a recipe that cannot be
├── DataError              images that are missing, broken or not what they claim to be
├── ModelError             a model that is unknown or misbehaves
├── DeviceError            a device that is unknown, absent or unable
├── RecorderError          a training loop that is watched in a wrong way
├── RecordError            a text that is no record
├── BaselineError          a baseline that is missing, broken or cannot be written
├── RerunError             a training that could not be run again as a rerun has to be
├── SuiteError             a pytest suite or command line that would compare nothing, or the wrong thing
├── EquivalenceError       seeds that cannot be judged together
└── EventsError            TensorBoard's event files that cannot be compared or written

Each leaf states what went wrong, where, and what to do, as templates that its facts fill in.
"""

from harness.errors.base import (
    HarnessError,
)
from harness.errors.equivalence import (
    EquivalenceError,
    MetricMissingError,
    MetricValueError,
    NoMetricError,
    NoSeedsError,
    SeedCountError,
    SeedMissingError,
)
from harness.errors.events import (
    EventsCorruptError,
    EventsCutOffError,
    EventsError,
    EventsMissingError,
    EventsWriteError,
    NoScalarError,
)
from harness.errors.gate import (
    BaselineCorruptError,
    BaselineEditedError,
    BaselineError,
    BaselineMissingError,
    BaselineNonFiniteError,
    BaselineStatesError,
    BaselineWriteError,
    CheckedTwiceError,
    HistoryFileError,
    MarkerOptionError,
    NotAFigureError,
    NotComparedError,
    RemoteBaselineError,
    RerunError,
    RerunFailedError,
    ResultsAlwaysError,
    SharedBaselineError,
    SuiteError,
    UnrepeatableError,
)
from harness.errors.recording import (
    ForeignOptimizerError,
    LowPrecisionError,
    MixedPrecisionError,
    NeverSteppedError,
    NoLibraryError,
    NoLossError,
    NonFiniteError,
    NoPictureError,
    NoStreamError,
    NotABatchError,
    NotANumberError,
    NotFinishedError,
    NothingWatchedError,
    NotRecordingError,
    RecorderError,
    RecordError,
    SameNamesError,
    StatesError,
    UnknownFaultError,
    WatchedTwiceError,
    WrongDtypeError,
)
from harness.errors.training import (
    DataCorruptError,
    DataError,
    DataForeignError,
    DataMissingError,
    DeviceError,
    DevicePrecisionError,
    FieldError,
    ModelError,
    ModelOutputError,
    NoCifar10Error,
    NoDeviceError,
    NotAModelError,
    RecipeError,
    TooFewImagesError,
    UnknownDeviceError,
)


__all__ = [
    "BaselineCorruptError",
    "BaselineEditedError",
    "BaselineError",
    "BaselineMissingError",
    "BaselineNonFiniteError",
    "BaselineStatesError",
    "BaselineWriteError",
    "CheckedTwiceError",
    "DataCorruptError",
    "DataError",
    "DataForeignError",
    "DataMissingError",
    "DeviceError",
    "DevicePrecisionError",
    "EquivalenceError",
    "EventsCorruptError",
    "EventsCutOffError",
    "EventsError",
    "EventsMissingError",
    "EventsWriteError",
    "FieldError",
    "ForeignOptimizerError",
    "HarnessError",
    "HistoryFileError",
    "LowPrecisionError",
    "MarkerOptionError",
    "MetricMissingError",
    "MetricValueError",
    "MixedPrecisionError",
    "ModelError",
    "ModelOutputError",
    "NeverSteppedError",
    "NoCifar10Error",
    "NoDeviceError",
    "NoLibraryError",
    "NoLossError",
    "NoMetricError",
    "NoPictureError",
    "NoScalarError",
    "NoSeedsError",
    "NoStreamError",
    "NonFiniteError",
    "NotABatchError",
    "NotAFigureError",
    "NotAModelError",
    "NotANumberError",
    "NotComparedError",
    "NotFinishedError",
    "NotRecordingError",
    "NothingWatchedError",
    "RecipeError",
    "RecordError",
    "RecorderError",
    "RemoteBaselineError",
    "RerunError",
    "RerunFailedError",
    "ResultsAlwaysError",
    "SameNamesError",
    "SeedCountError",
    "SeedMissingError",
    "SharedBaselineError",
    "StatesError",
    "SuiteError",
    "TooFewImagesError",
    "UnknownDeviceError",
    "UnknownFaultError",
    "UnrepeatableError",
    "WatchedTwiceError",
    "WrongDtypeError",
]
