"""What classes are called, for figures: as the recorder was told, or as the data set says."""

import contextlib
from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader


_MOST = 100
"""Classes of a confusion matrix; the names of more would only make the record long."""
_DEEPEST = 8  # data sets within each other


def are_names(values: object) -> bool:
    """Return whether values are a sequence of texts that say something."""
    return (
        isinstance(values, Sequence)
        and not isinstance(values, str | bytes)
        and all(isinstance(name, str) and name.strip() for name in values)
    )


def names_in(loader: DataLoader[Any]) -> tuple[str, ...]:
    """Return the `classes` of a loader's data set, which torchvision's have, or of what it is a part of; or nothing."""
    dataset: Any = loader.dataset
    with contextlib.suppress(Exception):  # it is anybody's object
        for _ in range(_DEEPEST):
            if hasattr(dataset, "classes") and not isinstance(dataset.classes, str):
                names = tuple(_first(name) for name in dataset.classes)
                return names if are_names(names) and len(names) <= _MOST else ()
            dataset = dataset.dataset
    return ()


def _first(names: Any) -> Any:
    """Return a name, or the first of those that ImageNet gives a class."""
    return names if isinstance(names, str) else names[0]
