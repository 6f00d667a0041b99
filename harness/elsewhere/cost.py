"""What a change costs: the same training at another commit and here, run in turns."""

import time
from collections.abc import Callable, Sequence
from statistics import geometric_mean, median
from typing import Annotated

from msgspec import Meta, Struct

from harness.errors import HarnessError
from harness.recording.perturbation import Rerun, Rerunner, Taken


BUDGET = 60.0
"""Seconds that runs may take, after their first pair."""
LEAST, MOST = 3, 9
"""Pairs of runs; beyond the least, as long as they say different things."""
_APART = 1.05
"""Of the largest ratio to the smallest, up to which pairs say the same."""
_HOW = Rerun("its steps timed")

Pair = tuple[Taken, Taken]
"""What a training took at the other commit, and here."""
_Size = Annotated[float, Meta(ge=0)]


class Cost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training costs here, and what it cost at another commit.

    Args:
        at: the other commit: "main (9f8e7d2)".
        unknown: why this is not known; empty if it is.
        step: seconds of a step here, in the pair of runs whose ratio is the median one.
        former_step: likewise, there.
        ratio: of the two.
        smallest: ratio of all pairs.
        largest: likewise.
        memory: peak bytes of the process here, or on the GPU; 0 if unknown.
        former_memory: likewise, there.
    """

    at: str
    unknown: str = ""
    step: _Size = 0.0
    former_step: _Size = 0.0
    ratio: _Size = 1.0
    smallest: _Size = 1.0
    largest: _Size = 1.0
    memory: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    former_memory: Annotated[int, Meta(ge=0, lt=2**53)] = 0

    def exceeds(self, limit: float) -> bool:
        """Tell whether a step takes more than a limit times what it took, in whatever pair of runs."""
        return self.smallest > limit


def measure(
    there: Rerunner,
    here: Rerunner,
    at: str,
    seconds: float,
    budget: float = BUDGET,
    most: int = MOST,
    clock: Callable[[], float] = time.monotonic,
) -> Cost:
    """Run a training at another commit and here, in turns, until the pairs agree or time is up.

    Args:
        there: runs it at the other commit, in a process of its own.
        here: likewise, here.
        at: the other commit.
        seconds: that the training took when this session ran it; a process around it is not counted.
        budget: seconds that the runs may take, after the first pair.
        most: pairs of runs.
        clock: tells seconds.
    """
    pairs: list[Pair] = []
    began = clock()
    try:
        while not _suffice(pairs, most):
            missing = max(1, LEAST - len(pairs))
            if clock() - began + 2 * seconds * missing > budget:
                break
            pairs.append((there(_HOW).taken, here(_HOW).taken))
            if len(pairs) == 1:
                began = clock()  # until now processes were prepared, which may take longer than all trainings
    except HarnessError as error:
        return Cost(at=at, unknown=error.what)
    if len(pairs) < LEAST and _are_timed(pairs):
        one = (clock() - began) / 2 if pairs else seconds
        return Cost(at=at, unknown=f"{2 * LEAST} trainings take more than {budget:.0f} s, one {one:.0f} s")
    return cost_of(pairs, at)


def cost_of(pairs: Sequence[Pair], at: str) -> Cost:
    """Return what pairs of runs say."""
    if not _are_timed(pairs):
        return Cost(at=at, unknown="it has no step after the first that a recorder has seen")
    ratios, ordered = _ratios(pairs), sorted(pairs, key=_ratio)
    middle = ordered[(len(pairs) - 1) // 2 : len(pairs) // 2 + 1]
    # of two in the middle the geometric means, which favour no side
    former, present = (geometric_mean(each.step for each in runs) for runs in zip(*middle, strict=True))
    former_memory, memory = (int(median(each.memory for each in runs)) for runs in zip(*pairs, strict=True))
    return Cost(
        at=at,
        step=present,
        former_step=former,
        ratio=present / former,
        smallest=min(ratios),
        largest=max(ratios),
        memory=memory,
        former_memory=former_memory,
    )


def _suffice(pairs: Sequence[Pair], most: int) -> bool:
    """Tell whether more pairs would say nothing more."""
    if not _are_timed(pairs):
        return True
    ratios = _ratios(pairs)
    return len(pairs) >= LEAST and (max(ratios) <= _APART * min(ratios) or len(pairs) == most)


def _are_timed(pairs: Sequence[Pair]) -> bool:
    return all(each.step for pair in pairs for each in pair)


def _ratios(pairs: Sequence[Pair]) -> list[float]:
    return [*map(_ratio, pairs)]


def _ratio(pair: Pair) -> float:
    there, here = pair
    return here.step / there.step
