"""Which tests are ours: by the fixtures that they get, whoever defined them last, and by what their files import.

A project may have fixtures of our names; pytest has no public way to ask whose a test gets.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

import pytest


MARKER = "mpl_image_compare"
"""pytest-mpl's, of tests that return a figure."""
_HOME = "harness.plugin.fixtures"


def reached(item: pytest.Item, names: Iterable[str]) -> list[Any]:
    """Return the definitions of fixtures, and of all that these ask for, themselves included.

    Of several definitions of one name the last counts, and one that it overrides only if it asks for that.
    """
    chains = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    pending, found = [(name, 1) for name in names], dict[tuple[str, int], Any]()
    while pending:
        place = name, level = pending.pop()
        if place not in found and level <= len(chains.get(name, ())):
            found[place] = definition = chains[name][-level]
            pending += [(other, level + 1 if other == name else 1) for other in definition.argnames]
    return [*found.values()]


def uses(item: pytest.Item, *names: str) -> bool:
    """Tell whether a test gets one of our fixtures, and not only one of the project's that has the same name."""
    asked = getattr(getattr(item, "_fixtureinfo", None), "initialnames", ())
    return any(found.argname in names and found.func.__module__ == _HOME for found in reached(item, asked))


def arguments(item: pytest.Item) -> Sequence[str]:
    """Return what a test's function itself asks for: not what every test of its module gets."""
    return getattr(getattr(item, "_fixtureinfo", None), "argnames", ())


def is_ours(item: pytest.Item) -> bool:
    """Tell whether a test's baselines are ours, in every session alike.

    They are where the project has the ini option `training_baselines`, where the test uses our fixtures, and where it
    returns a figure and is written in a file that imports `harness`, or a fixture that it asks for is.
    """
    if item.config.getini("training_baselines") or uses(item, "training", "training_regression"):
        return True
    if not item.get_closest_marker(MARKER):
        return False
    functions = [getattr(item, "function", None), *(found.func for found in reached(item, arguments(item)))]
    return any(_imports_us(getattr(function, "__globals__", {})) for function in functions)


def _imports_us(names: Mapping[str, object]) -> bool:
    return any(_origin(value).partition(".")[0] == "harness" for value in [*names.values()])


def _origin(value: object) -> str:
    """Return the module that something comes from, without running any code of it."""
    if isinstance(value, ModuleType):
        return str(vars(value).get("__name__"))
    return str((value if isinstance(value, (type, FunctionType)) else type(value)).__module__)
