"""The process group that a training runs in, as torch and the launcher's environment tell of it."""

from torch import distributed

from harness.record import World
from harness.record.world import launched


def world() -> World | None:
    """Return the default process group, or None if there is none and nothing was launched that could be in one.

    Where a launcher has started several processes and none of them is in a group, that is a world of its own: a record
    of it is not taken for one of all ranks.
    """
    started = launched()
    if not has_group():
        return World(rank=0, size=1, backend="", launched=started) if started > 1 else None
    return World(distributed.get_rank(), distributed.get_world_size(), _backend(), started)


def has_group() -> bool:
    """Tell whether a process group was made, and not destroyed since."""
    return distributed.is_available() and distributed.is_initialized()


def _backend() -> str:
    """Return what was asked for, or, where nothing was, what serves each device."""
    name: str = distributed.get_backend()
    return str(distributed.get_backend_config()) if name == "undefined" else name
