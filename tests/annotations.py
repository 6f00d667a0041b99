"""What users annotate, which mypy checks with the project: public names are known, with their types, and no others."""

import harness
from harness import Deviation, Recorder, States, TrainingRegression


def check(training_regression: TrainingRegression) -> None:
    """A test as users write it; nobody calls it."""
    states: States | None = training_regression.states()
    with Recorder(precision="float32", states=states) as recorder:
        pass
    losses: tuple[float | int | str, ...] = recorder.record.streams["loss"].values
    first: Deviation = harness.compare(recorder.record, recorder.record).deviations[0]
    training_regression.check(recorder.record, name=f"{harness.__version__} {losses} {first}")


def misspell() -> None:
    """A name that is not there is refused, though names are resolved late: mypy tells of an ignore that is unused."""
    harness.Recpie()  # type: ignore[attr-defined] # that is the point
