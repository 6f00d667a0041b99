"""A training regression harness: does this change alter what training does?

The rooms, top to bottom; a module imports only from its own room and from those above it:

    inert         text of others that shows, and does nothing else
    errors        every way to be told "no"
    scratch       temporary folders, and what killed sessions left of them
    atomic_files  reading no more than can be meant, writing whole or not at all
    recipe        what to train
    record        what a training did: streams of numbers, pictures, environment, and their text form
    recording     the recorder, and what it hangs on a training
    adapters      recorders for Lightning, Transformers and Ignite
    shipped       what we train ourselves: recipes, models, data sets, the loop
    comparing     a record against its baseline: deviations, thresholds, several seeds
    faults        faults planted from outside, and the gate's power
    baselines     where baselines live, where they come from, what may become one
    explaining    from a divergence to its cause: operations, source lines, commits
    elsewhere     trainings in other processes, in the trees of other commits, beside other workers'
    workers       tests sent to other machines: who runs them, the job, its answer, what both must have in common
    figures       figures of a record
    tensorboard   event files, written and read
    report        what a check found, and its forms: words, Markdown, HTML, JSON, history
    commands      the console script
    plugin        the pytest plugin: options, fixtures, hooks
    entry         where pytest finds the plugin: a module of a name that no project has

The public names are resolved on first use, so that importing the package loads neither torch nor Matplotlib.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from harness import errors, figures
    from harness.comparing.comparison import Comparison, compare
    from harness.comparing.deviations import Deviation
    from harness.plugin.regression import TrainingRegression
    from harness.recipe import Recipe
    from harness.record import Record
    from harness.recording.recorder import Recorder
    from harness.recording.states import States
    from harness.shipped import recipes
    from harness.shipped.loop import train
    from harness.tensorboard.reading import read_events
    from harness.tensorboard.writing import write_events

__all__ = [
    "Comparison",
    "Deviation",
    "Recipe",
    "Record",
    "Recorder",
    "States",
    "TrainingRegression",
    "compare",
    "errors",
    "figures",
    "read_events",
    "recipes",
    "train",
    "write_events",
]

__version__ = version("pytest-training-regression")

if not TYPE_CHECKING:  # a type checker must not believe that every name is there
    _HOMES = {
        "Comparison": "comparing.comparison",
        "Deviation": "comparing.deviations",
        "Recipe": "recipe",
        "Record": "record",
        "Recorder": "recording.recorder",
        "States": "recording.states",
        "TrainingRegression": "plugin.regression",
        "compare": "comparing.comparison",
        "errors": "",
        "figures": "",
        "read_events": "tensorboard.reading",
        "recipes": "shipped",
        "train": "shipped.loop",
        "write_events": "tensorboard.writing",
    }

    def __getattr__(name: str) -> object:  # unseen by type checkers
        if name not in _HOMES:
            meant = "if a module of the project is meant, rename that, or run pytest with -p no:training_regression"
            raise AttributeError(f"harness, of pytest-training-regression, has no attribute {name!r}; {meant}")
        home = f"harness.{_HOMES[name]}".removesuffix(".")
        if name in ("errors", "figures", "recipes"):
            return importlib.import_module(f"{home}.{name}")
        globals()[name] = value = getattr(importlib.import_module(home), name)
        return value

    def __dir__() -> list[str]:  # likewise
        return sorted({*globals(), *__all__})
