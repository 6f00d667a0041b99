"""What a rerun of a training changes from outside: its seeds, its arithmetic, or a planted fault."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass


__all__ = ["Variation", "current", "varied"]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How a rerun departs from the training as written; the default departs in nothing.

    Args:
        seed_shift: added to the seed.
        threads: threads that torch computes on.
        onednn: whether torch may use oneDNN's kernels.
        other_layout: whether 4-D weights change their memory format (contiguous to channels last, and back).
        jitter: seed of a random change of every weight by one unit in the last place; 0 for none.
        fault: name of a fault to plant (`faults.FAULTS`); empty for none.
    """

    seed_shift: int = 0
    threads: int = 1
    onednn: bool = True
    other_layout: bool = False
    jitter: int = 0
    fault: str = ""


_variations = [Variation()]
"""A plain list, not a context variable: loops may train in threads of their own."""


def current() -> Variation:
    """Return the variation in force."""
    return _variations[-1]


@contextlib.contextmanager
def varied(variation: Variation) -> Iterator[None]:
    """Put a variation in force for a block: recorders that are entered in it follow it."""
    _variations.append(variation)
    try:
        yield
    finally:
        _variations.pop()
