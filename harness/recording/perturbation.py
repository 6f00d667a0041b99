"""What a rerun of a training changes from outside: its seeds, its arithmetic, or something that is planted in it."""

import atexit
import contextlib
import importlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.record import Record
from harness.recording.inherited import inherited


if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from harness.explaining.traced import Traced
    from harness.recording.states import States


class Planted(Protocol):
    """Something that is planted in a training; a recorder tells it of everything before it measures it itself."""

    def watch(self, model: "nn.Module", optimizer: "Optimizer | None") -> None:
        """Follow a model and an optimizer; called before the recorder hangs its own hooks on them."""

    def batch(self, images: object, labels: object) -> None:
        """Called with each batch before its fingerprint is taken."""

    def end(self, record: Record, built: Mapping[str, Any]) -> None:
        """Called with what the training did, and with who built what it is made of (`Causes.built`)."""


class Enough(BaseException):
    """Raised by what is planted once it has seen all that it wants; the recorder's block puts in its record so far."""

    record: Record


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """How a rerun departs from the training as written; the default departs in nothing."""

    seed_shift: int = 0  # added to the seed
    threads: int = 1  # that torch computes on
    onednn: bool = True  # whether torch may use its kernels
    other_layout: bool = False  # whether 4-D weights change from contiguous to channels last, and back
    jitter: int = 0  # seed of random changes of every weight by one unit in the last place, each step; 0 for none
    watches_draws: bool = False  # whether draws that nobody seeded are looked for
    plant: Callable[[contextlib.ExitStack], Planted | None] | None = None
    """Called as each recorder begins, with the stack that takes what ends the effect; None plants nothing."""
    states: "States | None" = None  # that a recorder which is given some follows in their place


_VARIABLE = "HARNESS_PERTURBED"
_in_force: dict[object, tuple[int, Perturbation]] = {}  # by nothing but themselves, in order: thread, perturbation


def current() -> Perturbation:
    """Return the perturbation in force: this thread's own, or else the last one, as loops may train in threads."""
    if _VARIABLE in os.environ and not _in_force:
        stack = contextlib.ExitStack()
        stack.enter_context(obeying())
        atexit.register(stack.close)
    in_force = [*_in_force.values()][::-1]
    own = [perturbation for thread, perturbation in in_force if thread == threading.get_ident()]
    return next(iter(own + [perturbation for _, perturbation in in_force]), Perturbation())


@contextlib.contextmanager
def perturbed(perturbation: Perturbation) -> Iterator[None]:
    """Put a perturbation in force for a block: recorders that are entered in it follow it."""
    key = object()
    _in_force[key] = threading.get_ident(), perturbation
    try:
        yield
    finally:
        del _in_force[key]


def obeyed_by_children(how: str, **given: object) -> contextlib.AbstractContextManager[None]:
    """Return what has processes that are started in a block, and record a training, put a perturbation in force, too.

    Args:
        how: module and name of the context manager that does, as `module:function`.
        **given: that it is called with, beside `session`, the id of this process: what JSON holds.
    """
    return inherited(_VARIABLE, {"session": os.getpid(), "how": how, "given": given})


def obeying() -> contextlib.AbstractContextManager[object]:
    """Return what has a block follow the process that started this one (`obeyed_by_children`), if that asks for it."""
    asked = json.loads(os.environ.get(_VARIABLE, "{}"))
    if asked.get("session", os.getpid()) == os.getpid():
        return contextlib.nullcontext()
    module, _, name = asked["how"].partition(":")
    follow: Callable[..., contextlib.AbstractContextManager[object]] = getattr(importlib.import_module(module), name)
    return follow(session=asked["session"], **asked["given"])


@dataclass(frozen=True)
class Rerun:
    """What is different when a training is run again."""

    text: str  # that, in words
    perturbation: Perturbation = Perturbation()  # what the recorder changes
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that choose other kernels; torch reads them when imported, so the rerun needs a process of its own."""
    states: "States | None" = None  # to put back into the training
    fault: str = ""  # name of the standard fault that is planted (`faults.FAULTS`); empty for none
    traces: bool = False  # whether its operations are traced; a recipe's training ends once they are
    step: int | None = None  # of the divergence that the trace is to explain


class Taken(NamedTuple):
    """What a training took: the median seconds of its steps, and the peak bytes of its process; 0 if unknown."""

    step: float = 0.0
    memory: int = 0


class Reran(NamedTuple):
    """What a training that was run again did, whether a fault took effect in it, or why not, its trace and its cost.

    In the process of a session, which holds more than one training, the cost is not known.
    """

    record: Record
    outcome: tuple[bool, str]
    traced: "Traced | None" = None
    taken: Taken = Taken()


Rerunner = Callable[[Rerun], Reran]
"""Runs one training again and again, in whatever process."""
