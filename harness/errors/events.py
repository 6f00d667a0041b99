"""Errors about TensorBoard's event files."""

from harness.errors.base import HarnessError


__all__ = [
    "EventsCorruptError",
    "EventsCutOffError",
    "EventsError",
    "EventsMissingError",
    "EventsWriteError",
    "NoScalarError",
]


class EventsError(HarnessError):
    """Event files that cannot be compared or written."""


class EventsMissingError(EventsError):
    """There is no event file."""

    what = "there are no event files in {path}"
    where = "looked for {looked_for}"
    fix = "give the folder that the training writes its TensorBoard events to"


class EventsCorruptError(EventsError):
    """An event file is damaged, or is none."""

    what = "the event file cannot be read: {reason}"
    where = "{path}"
    fix = "remove it, and train again"


class EventsCutOffError(EventsError):
    """An event file ends within an event."""

    what = "the event file is cut off: the event that begins at byte {start} is not whole"
    where = "{path}"
    fix = "close the writer before the check (writer.close()), or find out why the training did not end"


class NoScalarError(EventsError):
    """Event files hold nothing to compare."""

    what = "the event files hold no scalar to compare"
    where = "{path}"
    fix = "log one (writer.add_scalar('loss', loss, step)), and close the writer before the check (writer.close())"


class EventsWriteError(EventsError):
    """The TensorBoard run of a training could not be written."""

    what = "the TensorBoard run could not be written: {reason}"
    where = "{path}"
    fix = "give a folder that can be written to: --tensorboard=DIR"
