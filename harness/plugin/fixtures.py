"""Which tests use fixtures of ours."""

from collections.abc import Mapping
from typing import Any

import pytest


__all__ = ["definitions_of", "uses"]


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
