"""Who built a module, an optimizer or a data loader, where somebody notes it (`explaining/building.py`)."""

from typing import Any


BUILT = "_training_regression_built"
"""The attribute that holds it. It goes along with a copy."""


def built_at(thing: object) -> Any:
    """Return what was noted of who built something; None if nothing was."""
    return getattr(thing, "__dict__", {}).get(BUILT)
