"""The TensorBoard runs of a session: each training beside its baseline, so that their curves lie over each other."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.plugin.shared import Alone


if TYPE_CHECKING:
    from harness.comparison import Comparison
    from harness.record import Record

__all__ = ["Runs"]


class _Run(NamedTuple):
    record: "Record"
    folder: Path


class Runs:
    """Writes NAME/now of each training and NAME/baseline of what it was compared with.

    Args:
        workers: of the session; they write to the same folders.
    """

    def __init__(self, workers: Alone) -> None:
        self._workers = workers
        self._written: list[_Run] = []

    def write(self, record: "Record", folder: Path, *, labelled: bool) -> bool:
        """Write a training's run, unless this session has; return whether it had not.

        Args:
            record: of the training.
            folder: of its run and its baseline's; the baseline of an earlier session is removed.
            labelled: whether its labelled figures are drawn now, or only if it turns out to differ.

        Raises:
            EventsWriteError: the folder cannot be written to.
        """
        from harness.tensorboard import remove_events, write_events

        if any(record is run.record for run in self._written):
            return False
        write_events(record, folder / "now", labelled=labelled)
        remove_events(folder / "baseline")
        self.adopt(record, folder)
        return True

    def adopt(self, record: "Record", folder: Path) -> None:
        """Take note of a run that another worker has written."""
        self._written.append(_Run(record, folder))

    def overlay(self, record: "Record", comparison: "Comparison") -> None:
        """Write a baseline's run beside that of the training that was compared with it.

        If the two differ, the figures of both are drawn, and that of their deviations; and this baseline takes the
        place of another one that the same training was compared with.

        Args:
            record: of the training.
            comparison: with the baseline, its tensors named as in the record.

        Raises:
            EventsWriteError: the folder cannot be written to.
        """
        from harness.tensorboard import write_events

        folder = next(run.folder for run in self._written if run.record is record)
        differs = comparison.verdict != "same"
        with self._workers.guarded(f"run-{folder.name}"):
            if differs:
                write_events(record, folder / "now", comparison=comparison)
            if differs or not any((folder / "baseline").glob("*")):
                write_events(comparison.baseline, folder / "baseline", labelled=differs)
