"""How a process ended, in words."""

import signal


def ending(status: int) -> str:
    """Word an exit status as Python has it: of a process that a signal ended, that signal's number below 0."""
    if status >= 0:
        return f"it ended with exit status {status}"
    name = next((known.name for known in signal.Signals if known == -status), f"signal {-status}")
    return f"it was ended by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")
