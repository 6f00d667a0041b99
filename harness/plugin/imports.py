"""Import early, and at less cost, what the first training of a session needs."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator, Sequence

import pytest

from harness.plugin.fixtures import uses


__all__ = ["import_what_trains"]

_COMPILER = "torch._dynamo"
"""The first optimizer imports it, and with it most of what torch has."""


def import_what_trains(items: Sequence[pytest.Item]) -> None:
    """Import torch before the first test, if the session is sure to need it, and leave it to no garbage collection.

    torch makes a million objects, none of which is ever garbage. Looking through them while they are made, and again
    at the end of the session, where pytest collects garbage twice, takes a second of the few that a verdict takes.

    Args:
        items: the tests that will run.
    """
    if _COMPILER in sys.modules or not _will_train(items):
        return
    with contextlib.suppress(ImportError), _no_collection():  # the test that needs it says what is wrong
        importlib.import_module(_COMPILER)
        importlib.import_module("harness.training")
    gc.freeze()


def _will_train(items: Sequence[pytest.Item]) -> bool:
    """Tell whether a test trains a recipe, or records a loop, which has imported torch by now."""
    names = ["training", "training_regression"] if "torch" in sys.modules else ["training"]
    return any(uses(item, *names) for item in items)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
