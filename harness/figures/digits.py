"""The leading decimal digits of a series as colours: a change in the ninth digit becomes visible pixels."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Context, Decimal

import matplotlib
import numpy as np
from numpy.typing import NDArray


__all__ = ["DIGITS", "digit_raster", "leading_digits"]

DIGITS = 9
"""Digits shown. Equal float64 trainings agree to 12 and more."""


def leading_digits(value: float) -> list[int]:
    """Return the first nine significant decimal digits of a number, not rounded: 0.0123 gives 1, 2, 3, 0, ...

    Args:
        value: finite; the sign and the power of ten are left to the curve.
    """
    cut = Context(prec=DIGITS, rounding=ROUND_DOWN).plus(Decimal(repr(abs(value))))
    digits = cut.as_tuple().digits
    return list(digits) + [0] * (DIGITS - len(digits))


def digit_raster(values: Sequence[float], cell_width: int, cell_height: int) -> NDArray[np.uint8]:
    """Return a picture with one column of nine cells a value, leading digit on top.

    The colour map is cyclic: where a rounding error carries a 9 to a 0, the colour hardly moves.

    Args:
        values: finite numbers.
        cell_width: width of a cell in pixels.
        cell_height: height of a cell in pixels.

    Returns:
        uint8, shape (9 * cell_height, len(values) * cell_width, 3).
    """
    palette = matplotlib.colormaps["twilight"](np.arange(10) / 10, bytes=True)[:, :3]
    digits_DN = np.array([leading_digits(value) for value in values]).T
    pixels_HWC: NDArray[np.uint8] = palette[digits_DN].repeat(cell_height, axis=0).repeat(cell_width, axis=1)
    return pixels_HWC
