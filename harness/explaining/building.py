"""Which line of the project builds a module, an optimizer, a schedule or a data loader of a library."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from harness.explaining.lines import Lines, arguments, plain, projects
from harness.explaining.traced import Built
from harness.recording.built import BUILT


_NO_SETTINGS = ("last_epoch", "base_lrs", "verbose")
"""Of a schedule: where it is, what its optimizer was built with, and what changes nothing."""


class Building:
    """Notes, while it is on, on all that is built who builds it.

    Args:
        root: of the project.
    """

    def __init__(self, root: Path) -> None:
        self._lines = Lines(root)
        self._settings: dict[str, str] = {}
        self.schedules: list[Built] = []

    @property
    def constants(self) -> Mapping[str, str]:
        """As of a `Trace`, and the plain settings of schedules, by class and name."""
        return self._lines.constants | self._settings

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Note it in a block."""
        with contextlib.ExitStack() as stack:
            for kind in (nn.Module, Optimizer, DataLoader):
                stack.enter_context(mock.patch.object(kind, "__init__", self._noting(kind.__init__, self._note)))
            schedules = self._noting(LRScheduler.__init__, self._note_schedule)
            stack.enter_context(mock.patch.object(LRScheduler, "__init__", schedules))
            yield

    def _noting(self, initialise: Callable[..., None], note: Callable[[Any, Built], None]) -> Callable[..., None]:
        @functools.wraps(initialise)
        def __init__(instance: Any, *args: Any, **kwargs: Any) -> None:
            initialise(instance, *args, **kwargs)
            if found := self._built(instance, sys._getframe(1)):
                note(instance, found)

        return __init__

    def _built(self, instance: object, frame: FrameType | None) -> Built | None:
        """Return who builds an object: the line outside of its own `__init__`, and who calls that function."""
        frame = projects(frame)
        while frame and frame.f_locals.get("self") is instance:
            frame = projects(frame.f_back)
        if frame is None:
            return None
        outer = projects(frame.f_back)
        place = self._lines.place(frame, outer is not None and outer is frame.f_back)
        places = (place, self._lines.place(outer)) if outer else (place,)
        return Built(places, arguments(frame.f_code.co_filename, frame.f_lineno))

    def _note(self, instance: object, found: Built) -> None:
        vars(instance)[BUILT] = found

    def _note_schedule(self, schedule: LRScheduler, found: Built) -> None:
        """Note a schedule among all: what it is set up with is known as it begins, and no stream is its own."""
        names = (name for name in vars(schedule) if name[0] != "_" and name not in _NO_SETTINGS)
        settings = {f"{type(schedule).__name__}:{name}": text for name, text in plain(vars(schedule), names)}
        self._settings |= settings
        self.schedules.append(found.naming(settings))
