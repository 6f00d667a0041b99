"""What a training came to, in a few numbers that can be averaged over seeds."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from harness.comparing.variants import require_same
from harness.errors import NonFiniteError
from harness.record.record import Record
from harness.record.streams import Stream
from harness.recording.perturbation import Perturbation, Rerun, Rerunner


def summary(record: Record) -> dict[str, float]:
    """Return a finite record's metrics by name, in the units in which they were logged.

    They are, of each number logged in training, the mean over the last quarter of its values; of each number of an
    evaluation, the mean over the last step that has it; and `gradient_norm`, the norm of all gradients together,
    averaged over the last quarter of the steps. Whole numbers (counts) and elements of lists (classes) are left out.
    """
    if found := record.non_finite():
        raise NonFiniteError.at(name=record.name, **found._asdict())
    metrics: dict[str, float] = {}
    for name, logged in record.streams.items():
        points = [] if name.endswith("]") else _floats(logged)
        if points and logged.stage == "forward":
            metrics[name] = _end([value for _, value in points])
        elif points and logged.stage == "evaluation":
            metrics[name] = fmean(value for step, value in points if step == points[-1][0])
    if norms := _gradient_norms(record):
        metrics.setdefault("gradient_norm", _end(norms))
    return metrics


def _floats(stream: Stream) -> list[tuple[int, float]]:
    points = zip(stream.steps, stream.values, strict=True)
    return [(step, value) for step, value in points if isinstance(value, float)]


def _end(values: Sequence[float]) -> float:
    """Average the last quarter."""
    return fmean(values[-math.ceil(len(values) / 4) :])


def _gradient_norms(record: Record) -> list[float]:
    """Return, step by step, the norm of all gradients together."""
    norms: dict[int, list[float]] = {}
    for stream in record.streams.values():
        for step, norm in _floats(stream) if stream.stage == "backward" else ():
            norms.setdefault(step, []).append(norm)
    return [math.hypot(*norms[step]) for step in sorted(norms)]


def of_seeds(record: Record, count: int, rerun: Rerunner) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield seed and metrics of a training, and of it run again with the seeds that follow, `count` in all.

    Raises:
        UnseededError: run again with its own seed, it is another: the other seeds would outvote a first training that
            is like none of them.
    """
    metrics = summary(record)
    require_same(record, rerun)
    yield record.seed, metrics
    for shift in range(1, count):
        again = rerun(Rerun(f"seed {record.seed + shift}", Perturbation(seed_shift=shift)))
        yield record.seed + shift, summary(again.record)
