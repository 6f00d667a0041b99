"""Numbers onto an axis: linear and logarithmic, with their ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


__all__ = ["Scale", "linear", "logarithmic"]

_TICKS = 4
_LARGEST = 308
"""The largest power of ten that is a finite number."""


@dataclass(frozen=True)
class Scale:
    """An axis.

    Args:
        low: value at its beginning.
        high: value at its end; above `low`.
        ticks: values that carry a label.
        log: whether decades are equally long.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a finite value lies between beginning and end, 0 to 1; clipped."""
        low, high, at = (self._place(v) for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def _place(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value

    def label(self, tick: float) -> str:
        """Return a tick's text."""
        return f"{tick:.0e}".replace("e-0", "e-").replace("e+0", "e+") if self.log else f"{tick:.6g}"


def linear(values: Iterable[float]) -> Scale:
    """Return an axis over finite values, with ticks at 1, 2 or 5 times a power of ten."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        pad = 0.5 * abs(high) or 0.5
        low, high = low - pad, high + pad
    span = high / _TICKS - low / _TICKS  # divided first: the difference of two huge numbers is infinite
    power = 10.0 ** math.floor(math.log10(span)) if span >= 1e-300 else span
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= span * 0.999)
    first = math.ceil(low / step)
    ticks = tuple((first + k) * step for k in range(_TICKS + 2) if (first + k) * step <= high)
    return Scale(low, high, ticks)


def logarithmic(values: Iterable[float], floor: float) -> Scale:
    """Return an axis of whole decades over positive values.

    Args:
        values: those that are not finite and positive do not count.
        floor: the lowest beginning; smaller values lie at it.
    """
    known = [max(value, floor) for value in values if 0 < value < math.inf] or [floor]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    low, high = min(low, _LARGEST - 1), min(max(high, low + 1), _LARGEST)
    every = max(1, math.ceil((high - low) / _TICKS))
    return Scale(10.0**low, 10.0**high, tuple(10.0**power for power in range(low, high + 1, every)), log=True)
