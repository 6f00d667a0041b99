"""Blocks that change globals of the process: in one thread at a time, and undone in the reverse of their order."""

import contextlib
import threading

from harness.errors import RecorderError


_open: list["Block"] = []
_lock = threading.RLock()  # what is undone may be anything, another block included


class Block:
    """A block that changes globals, from now until `close`; `undo` takes what puts them back.

    It may be closed in another thread than it was opened in. Blocks of one thread may lie within each other.

    Raises:
        RecorderError: a block is open in another thread, and each would compute with the other's globals.
    """

    def __init__(self) -> None:
        self.undo = contextlib.ExitStack()
        self._thread, self._over = threading.current_thread(), False
        with _lock:
            if other := next((block for block in _open if block._thread is not self._thread), None):
                raise RecorderError.other_thread(thread=other._thread.name)
            _open.append(self)

    @property
    def overlaps(self) -> bool:
        """Whether another block began before this one and is over, or began after it and is not."""
        return _open[-1] is not self or any(block._over for block in _open)

    def close(self) -> None:
        """Put the globals back; if a block that began later is open, that one does when it ends."""
        with _lock:
            self._over = True
            while _open and _open[-1]._over:
                _open.pop().undo.close()
