"""Import what trains at less cost."""

import contextlib
import gc
import importlib
import sys


__all__ = ["import_what_trains"]

_COMPILER = "torch._dynamo"
"""The first optimizer imports it, and with it most of what torch has."""


def import_what_trains() -> None:
    """Import torch, if this process has not, and leave it to no garbage collection.

    torch makes a million objects, none of which is ever garbage. Looking through them while they are made, and again
    at the end of the session, where pytest collects garbage twice, takes a second of the few that a verdict takes.
    """
    if _COMPILER in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        with contextlib.suppress(Exception):  # the training that needs it says what is wrong
            importlib.import_module(_COMPILER)
            importlib.import_module("harness.training")
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
