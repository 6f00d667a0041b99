"""The data sets, by name."""

import os
from functools import lru_cache
from pathlib import Path

from harness.errors import ArgumentError, NoCifar10Error
from harness.shipped.cifar10 import load as _load_cifar10
from harness.shipped.dataset import Dataset
from harness.shipped.synthetic import load as _load_synthetic


CIFAR10_VARIABLE = "HARNESS_CIFAR10"

_synthetic = lru_cache(maxsize=1)(_load_synthetic)


def load_dataset(name: str, cifar10: str | Path | None = None) -> Dataset:
    """Return a data set; each is read or drawn once a process and shared, so its tensors must not be changed.

    Args:
        name: "synthetic" or "cifar10".
        cifar10: Where CIFAR-10 is, as `cifar10.load` describes; the environment variable HARNESS_CIFAR10
            otherwise. The synthetic set needs none.

    Raises:
        ArgumentError: There is no data set of this name.
        NoCifar10Error: CIFAR-10 is asked for, and neither argument nor variable says where it is.
        DataError: CIFAR-10 is missing, broken or something else.
    """
    if name == "synthetic":
        return _synthetic()
    if name != "cifar10":
        raise ArgumentError.of("load_dataset", "name", name, "'synthetic' or 'cifar10'")
    path = cifar10 or os.environ.get(CIFAR10_VARIABLE)
    if not path:
        raise NoCifar10Error.of(ways=f"train(recipe, cifar10=PATH) or {CIFAR10_VARIABLE}=PATH")
    return _load_cifar10(path)
