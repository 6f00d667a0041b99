"""A training regression harness: does this change alter what training does?

The public names are resolved on first use, so that importing the package loads neither torch nor Matplotlib.
"""

import importlib
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from harness import errors, figures, recipes
    from harness.comparison import Comparison, compare
    from harness.events import read_events
    from harness.recipe import Recipe
    from harness.record import Record
    from harness.recorder import Recorder
    from harness.tensorboard import write_events
    from harness.training import train

__all__ = [
    "Comparison",
    "Recipe",
    "Record",
    "Recorder",
    "compare",
    "errors",
    "figures",
    "read_events",
    "recipes",
    "train",
    "write_events",
]

_HOMES = {
    "Comparison": "comparison",
    "Recipe": "recipe",
    "Record": "record",
    "Recorder": "recorder",
    "compare": "comparison",
    "read_events": "events",
    "train": "training",
    "write_events": "tensorboard",
}
_MODULES = ("errors", "figures", "recipes")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"harness.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(f"harness.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
