"""The world of a training: the process group that it ran in, and what it is of it."""

import os
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta


_Ranks = Annotated[int, Meta(ge=0, lt=2**31)]


class World(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process group of a training, or, where its launcher started more processes than that, what there was."""

    rank: _Ranks
    size: Annotated[int, Meta(ge=1, lt=2**31)]  # of the group; 1 where there was none
    backend: str  # "gloo", "nccl", "cpu:gloo,cuda:nccl"; empty where there was no group
    launched: _Ranks = 0  # processes that a launcher said it had started; 0 where there was none

    @property
    def lacks_ranks(self) -> bool:
        """Whether the launcher started processes that were not in the group: each may have trained alone."""
        return self.launched > self.size


_ALONE = World(0, 1, "")
_OF_A_LAUNCH = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
"""Variables that tell one start of a launcher's processes from others; two of torchrun are alike in all of them."""


def launched() -> int:
    """Return how many processes a launcher says it has started, torchrun or one that does as it does; 0 for none."""
    size = os.environ.get("WORLD_SIZE", "")
    return min(int(size), 2**31 - 1) if size.isascii() and size.isdecimal() else 0


def launch() -> str:
    """Return what processes have in common that a launcher started together, and others have not, if that is known."""
    size = os.environ.get("WORLD_SIZE")
    here = f"process {os.getppid()}" if size and size == os.environ.get("LOCAL_WORLD_SIZE") else ""
    return " ".join(filter(None, [*(os.environ.get(name, "") for name in _OF_A_LAUNCH), here]))


def world_changes(before: World | None, now: World | None) -> Iterator[tuple[str, object, object]]:
    """Yield name, former and present value of what differs between two worlds; no group is one of a single rank."""
    pair = before or _ALONE, now or _ALONE
    for name in ("size", "backend", "rank"):
        former, present = (getattr(world, name) for world in pair)
        if former != present:
            yield name, _plain(former), _plain(present)


def _plain(value: object) -> object:
    return "none" if value == "" else value
