"""The TensorBoard runs of a session: each training beside its baseline, so that their curves lie over each other."""

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from harness.elsewhere.sharing import Sharing


if TYPE_CHECKING:
    from harness.comparing.comparison import Comparison
    from harness.record.record import Record


class Runs:
    """Writes NAME/now of each training and NAME/baseline of what it was compared with.

    Args:
        workers: of the session; they write to the same folders.
        labelled: whether the labelled figures of every training are drawn, too: fifteen, a tenth of a second each.
    """

    def __init__(self, workers: Sharing, *, labelled: bool) -> None:
        self._workers = workers
        self._labelled = labelled
        self._written: list[tuple[weakref.ref[Record], Path]] = []

    def write(self, record: "Record", folder: Path) -> bool:
        """Write a training's run, unless this session has; return whether it had not.

        The folder is that of its run and its baseline's; the baseline of an earlier session is removed.

        Raises:
            EventsError: the folder cannot be written to.
        """
        from harness.tensorboard.writing import remove_events, write_events

        if self._folder(record):
            return False
        write_events(record, folder / "now", labelled=self._labelled)
        remove_events(folder / "baseline")
        self.adopt(record, folder)
        return True

    def adopt(self, record: "Record", folder: Path) -> None:
        """Take note of the folder of a record's run, unless it is known: it may have been read anew."""
        if not self._folder(record):
            self._written = [run for run in self._written if run[0]() is not None]
            self._written.append((weakref.ref(record), folder))

    def _folder(self, record: "Record") -> Path | None:
        return next((folder for written, folder in self._written if written() is record), None)

    def overlay(self, record: "Record", comparison: "Comparison", drawn: bytes) -> None:
        """Write a baseline's run beside that of the training that was compared with it.

        If the two differ, their deviations are shown (`drawn`, a PNG file that is empty if there are none), and this
        baseline takes the place of another one that the same training was compared with.

        Raises:
            EventsError: the folder cannot be written to.
        """
        from harness.tensorboard.writing import write_events

        folder = self._folder(record)
        assert folder is not None, "the caller has written the run"
        with self._workers.guarded(f"run-{folder.name}"):
            if drawn:
                images = {"comparison/deviations": drawn}
                write_events(record, folder / "now", labelled=self._labelled, images=images)
            if drawn or not any((folder / "baseline").glob("*")):
                write_events(comparison.baseline.record, folder / "baseline", labelled=self._labelled)
