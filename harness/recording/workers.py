"""Workers of data loaders that are started, not forked: they make floats in the dtype of who starts them."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import torch
from torch.utils.data import DataLoader


@contextlib.contextmanager
def workers_inherit(around: Callable[[DataLoader[Any]], AbstractContextManager[None]]) -> Iterator[None]:
    """Hand the default dtype over to the workers of loaders that are iterated in a block, as a fork does.

    The loaders' own `worker_init_fn` is called as ever, and no random number is drawn.

    Args:
        around: makes a context of each loader that is iterated, which its workers are started in.
    """
    original = DataLoader.__iter__

    @functools.wraps(original)
    def started(loader: DataLoader[Any]) -> Iterator[Any]:
        own = loader.worker_init_fn
        loader.worker_init_fn = _Start(torch.get_default_dtype(), own)
        try:
            with around(loader):
                return original(loader)
        finally:
            loader.worker_init_fn = own

    with mock.patch.object(DataLoader, "__iter__", started):
        yield


class _Start:
    """What a worker does first; it can be pickled if what the loader's owner wants can."""

    def __init__(self, dtype: torch.dtype, then: Callable[[int], None] | None) -> None:
        self._dtype, self._then = dtype, then

    def __call__(self, worker: int) -> None:
        torch.set_default_dtype(self._dtype)
        if self._then:
            self._then(worker)
