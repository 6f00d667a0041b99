"""Which tests use fixtures of ours, and what these import."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Mapping
from typing import Any

import pytest


def definitions_of(item: pytest.Item) -> Mapping[str, Any]:
    """Return the definitions of the fixtures that a test gets, by name; pytest has no public way to ask for them."""
    found = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return {name: definitions[-1] for name, definitions in found.items()}


def uses(item: pytest.Item, *names: str) -> bool:
    """Tell whether a test uses one of our fixtures, and not a fixture of the project's that has the same name.

    Args:
        item: the test.
        *names: of the fixtures.
    """
    definitions = definitions_of(item)
    return any(name in definitions and definitions[name].func.__module__ == "harness.plugin" for name in names)


_COMPILER = "torch._dynamo"
"""The first optimizer imports it, and with it most of what torch has."""


def import_what_trains() -> None:
    """Import torch, if this process has not, and leave it to no garbage collection.

    torch makes a million objects, none of which is ever garbage. Looking through them while they are made, and again
    at the end of the session, where pytest collects garbage twice, takes a second of the few that a verdict takes.
    """
    if _COMPILER in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        with contextlib.suppress(Exception):  # the training that needs it says what is wrong
            importlib.import_module(_COMPILER)
            importlib.import_module("harness.shipped.loop")
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
