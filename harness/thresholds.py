"""How far equal trainings may part, by precision; measured, not chosen."""

from itertools import pairwise


__all__ = ["THRESHOLD", "threshold"]

THRESHOLD = 1e-10
"""Largest relative deviation of equal float64 trainings. Other CPUs, thread counts and library versions stay below
4e-12, most below 1e-13; the smallest of 129 one-line faults that move a number at all reach 1e-8 within a few steps."""

_ENVELOPE = ((0, 1e-5), (1, 2e-4), (3, 6e-4), (7, 3e-3), (10, 5e-2), (31, 3e-1), (63, 7e-1))
"""(step, relative deviation): how far float32 runs part on other CPUs and thread counts, largest of 33 benign variants
of a 64-step training (gradient norms; losses stay ten times below)."""
_ENVELOPE_MARGIN = 3.0
_ENVELOPE_END = 0.99
"""Below 1, so that a number that falls to zero or changes its sign is never explained."""
_BFLOAT16_SHARE = 2.0**16
"""A bfloat16 has 16 bits less than a float32."""


def threshold(precision: str, elsewhere: bool, step: int) -> float:
    """Return the largest relative deviation that two equal trainings may show at a step.

    Args:
        precision: float64, float32 or bfloat16.
        elsewhere: whether they ran in different environments.
        step: 0-based.
    """
    if precision == "float64":
        return THRESHOLD
    if not elsewhere:
        return 0.0
    share = _BFLOAT16_SHARE if precision == "bfloat16" else 1.0
    return min(_ENVELOPE_END, _ENVELOPE_MARGIN * share * _envelope(step))


def _envelope(step: int) -> float:
    """Interpolate the envelope's exponents between its points; constant after the last."""
    for (left, low), (right, high) in pairwise(_ENVELOPE):
        if step <= right:
            return float(low * (high / low) ** ((step - left) / (right - left)))
    return _ENVELOPE[-1][1]
