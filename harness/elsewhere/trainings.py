"""The trainings of a session: each recipe once, the latest few in memory, the others in files."""

import contextlib
import os
import weakref
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from harness.atomic_files import write


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record import Record
    from harness.recording.states import States


_IN_MEMORY = 4
"""Records that are kept at hand; a suite may have hundreds, of a few megabytes each."""


class Training:
    """A recipe's training in this session.

    Args:
        recipe: what was trained.
        device: on what.
        record: what it did.
        states: those that were kept on its way, of a low-precision training that becomes a baseline.
        codes: fingerprints of its code, before and after it: what it changed itself, a counter say, is no other code.
        test: during which it was trained.
        run: name of its TensorBoard run.
    """

    def __init__(
        self,
        recipe: "Recipe",
        device: str,
        record: "Record",
        states: "States | None",
        *,
        codes: Collection[str],
        test: str,
        run: str,
    ) -> None:
        self.recipe, self.device, self.states, self.test, self.run = recipe, device, states, test, run
        self._codes = codes
        self._at_hand: Record | None = record
        self._alive = weakref.ref(record)
        self._file: Path | None = None

    def answers(self, recipe: "Recipe", device: str, code: str) -> bool:
        """Tell whether the same would be trained."""
        return self.recipe == recipe and self.device == device and code in self._codes

    def is_of(self, record: "Record") -> bool:
        """Tell whether a record is this training's, and not an equal one of another."""
        return self._alive() is record

    @property
    def record(self) -> "Record":
        """What the training did; read anew if it was put aside and no test holds it."""
        from harness.record.record import Record

        record = self._alive()
        if record is None:
            assert self._file is not None, "a record that is not at hand was put aside"
            record = Record.from_text(self._file.read_text(encoding="utf-8"))
            self._alive = weakref.ref(record)
        self._at_hand = record
        return record

    def put_aside(self, file: Path) -> None:
        """Free the memory of the record unless a test holds it; where it cannot be written, it stays."""
        with contextlib.suppress(OSError):
            if self._file is None:
                write(file, self.record.to_text().encode())
                self._file = file
            self._at_hand = None


class Trainings:
    """Every training that this process asked for.

    Args:
        folder: of those that are put aside; asked for when the first one is.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._all: list[Training] = []  # the latest last

    def get(self, recipe: "Recipe", device: str, code: str) -> Training | None:
        """Return the training of a recipe on a device by the same code, or None if there was none."""
        training = next((one for one in self._all if one.answers(recipe, device, code)), None)
        if training:
            self._all.remove(training)
            self.add(training)
        return training

    def has_other(self, recipe: "Recipe", device: str) -> bool:
        """Tell whether the recipe was trained on the device, by whatever code."""
        return any((one.recipe, one.device) == (recipe, device) for one in self._all)

    def add(self, training: Training) -> None:
        """Keep a training, and put aside the one that was asked for the longest ago."""
        self._all.append(training)
        if len(self._all) > _IN_MEMORY:
            oldest = self._all[-1 - _IN_MEMORY]
            oldest.put_aside(self._folder() / f"aside-{os.getpid()}-{id(oldest)}.json")  # workers share the folder

    def of(self, record: "Record") -> Training | None:
        """Return the training that a record came from, or None if it is a watched loop's."""
        return next((training for training in self._all if training.is_of(record)), None)
