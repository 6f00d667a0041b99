"""The TensorBoard runs of a session: each training beside its baseline, so that their curves lie over each other."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple


if TYPE_CHECKING:
    from harness.record import Record

__all__ = ["Runs"]


class _Run(NamedTuple):
    record: "Record"
    folder: Path
    labelled: bool


class Runs:
    """Writes NAME/now of each training and NAME/baseline of what it was compared with."""

    def __init__(self) -> None:
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
        self._written.append(_Run(record, folder, labelled))
        return True

    def overlay(self, record: "Record", baseline: "Record", *, differs: bool) -> None:
        """Write a baseline's run beside that of the training that was compared with it.

        Args:
            record: of the training.
            baseline: its tensors named as in the record.
            differs: whether the two are worth looking at: if so the figures of both are drawn, and this baseline takes
                the place of another one that the same training was compared with.

        Raises:
            EventsWriteError: the folder cannot be written to.
        """
        from harness.tensorboard import write_events

        run = next(run for run in self._written if run.record is record)
        if differs and not run.labelled:
            write_events(record, run.folder / "now")
        if differs or not any((run.folder / "baseline").glob("*")):
            write_events(baseline, run.folder / "baseline", labelled=differs)
