"""The process group that a training runs in, as torch and the launcher's environment tell of it."""

import os

from torch import distributed

from harness.record import World


def world() -> World | None:
    """Return the default process group, or None if there is none and nothing was launched that could be in one.

    Where a launcher has started several processes and none of them is in a group, that is a world of its own: a record
    of it is not taken for one of all ranks.
    """
    size = os.environ.get("WORLD_SIZE", "")  # of torchrun, and of those that do as it does
    launched = min(int(size), 2**31 - 1) if size.isascii() and size.isdecimal() else 0
    if not has_group():
        return World(rank=0, size=1, backend="", launched=launched) if launched > 1 else None
    return World(distributed.get_rank(), distributed.get_world_size(), _backend(), launched)


def has_group() -> bool:
    """Tell whether a process group was made, and not destroyed since."""
    return distributed.is_available() and distributed.is_initialized()


def _backend() -> str:
    """Return what was asked for, or, where nothing was, what serves each device."""
    name: str = distributed.get_backend()
    return str(distributed.get_backend_config()) if name == "undefined" else name
