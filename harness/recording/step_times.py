"""How long the steps of a training take, and how much memory its process."""

import sys
import time
from statistics import median

from harness.record import Record
from harness.recording.perturbation import Taken


class StepTimes:
    """The time from the start of each step until something else begins: the next step, or an evaluation.

    On a CPU it is the processor time of this process, which others on the machine disturb least.
    """

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self._taken: list[tuple[float, float]] = []

    def begin(self) -> None:
        """Note that a step begins."""
        self._began = _now()

    def end(self) -> None:
        """Note that it has ended."""
        if self._began:
            (wall, processor), began = _now(), self._began
            self._taken.append((wall - began[0], processor - began[1]))
            self._began = None

    def seconds(self, device: str) -> tuple[float, ...]:
        """Return those of every step after the first, which warms up; of a GPU, which has its own time, wall time."""
        return tuple(processor if device == "cpu" else wall for wall, processor in self._taken[1:])


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def taken(record: Record) -> Taken:
    """Return what a training took that has just ended, the only one of this process."""
    return Taken(median(record.step_seconds or (0.0,)), _peak_memory(record.device))


def _peak_memory(device: str) -> int:
    """Return the most bytes that this process has held, or, of a training on a GPU, on that; 0 if unknown."""
    if device == "cuda":
        import torch  # here: a session that trains nothing imports this module, too

        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
