"""Watch for random draws that nobody seeded: they make a training another one each time."""

import contextlib
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from harness.recording.lines import users_line


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Note, in a list that grows, where outside libraries a generator is made without a seed in the block.

    Watched are generators of Python and NumPy, the system's own randomness, and `torch.seed`; not the clock, and not
    `torch.Generator.seed`, which Python cannot replace.
    """
    import numpy as np
    import torch

    found: list[str] = []
    with contextlib.ExitStack() as stack:
        for place, name, text in (
            (np.random, "default_rng", "numpy.random.default_rng()"),
            (np.random, "seed", "numpy.random.seed()"),
            (random.Random, "seed", "random.Random()"),
            (torch, "seed", "torch.seed()"),
            (os, "urandom", "os.urandom"),
            (random, "_urandom", "random.SystemRandom()"),
        ):
            of_a_class, takes_no_seed = isinstance(place, type), name.endswith("urandom")
            watching = _watching(getattr(place, name), text, found, method=of_a_class, always=takes_no_seed)
            stack.enter_context(mock.patch.object(place, name, watching))
        yield found


def _watching(
    original: Callable[..., Any], text: str, found: list[str], *, method: bool, always: bool
) -> Callable[..., Any]:
    def watching(*args: Any, **named: Any) -> Any:
        seeds = [value for value in (*args[method:], *named.values()) if value is not None]
        place = "" if seeds and not always else _caller()
        if place and not any(entry.startswith(f"{place}: ") for entry in found):  # one draw may lead to another
            found.append(f"{place}: {text}" + ("" if always else " without a seed"))
        return original(*args, **named)

    return watching


def _caller() -> str:
    """Return file and line of the nearest call that is no library's and not ours; empty if there is none."""
    place = users_line(traceback.walk_stack(sys._getframe(2)))
    path = Path(os.path.realpath(place))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path) if place else ""
