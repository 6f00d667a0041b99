"""Numbers as colours, digit by digit: what lets a tolerance for pixels see a change of a thousandth."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Context, Decimal

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from harness.figures.series import spread


DIGITS = 9
"""Digits shown. Equal float64 trainings agree to 12 and more."""
LEFT, BOTTOM = 72, 20  # where the digits begin
ROOM = 640 - LEFT - 8
CELL_HEIGHT = 16


def add_digits(figure: Figure, series: Sequence[Sequence[float]]) -> None:
    """Put one raster a series below each other, the first on top, in the room of one.

    A raster has one column of nine cells a value, leading digit on top. The colour map is cyclic: where a rounding
    error carries a 9 to a 0, the colour hardly moves.
    """
    palette = matplotlib.colormaps["twilight"](np.arange(10) / 10, bytes=True)[:, :3]
    cell_height = CELL_HEIGHT // len(series)
    for index, values in enumerate(reversed(series)):
        digits_DN = np.array([leading_digits(values[i]) for i in spread(len(values), ROOM)]).T
        cells_HWC = palette[digits_DN].repeat(cell_height, axis=0)
        pixels_HWC = cells_HWC.repeat(ROOM // digits_DN.shape[1], axis=1)
        figure.figimage(pixels_HWC, xo=LEFT, yo=BOTTOM + index * DIGITS * cell_height, origin="upper")


def leading_digits(value: float) -> list[int]:
    """Return the first nine significant decimal digits of a number, not rounded: 0.0123 gives 1, 2, 3, 0, ...

    Args:
        value: finite; the sign and the power of ten are left to the curve.
    """
    cut = Context(prec=DIGITS, rounding=ROUND_DOWN).plus(Decimal(repr(abs(value))))
    digits = cut.as_tuple().digits
    return list(digits) + [0] * (DIGITS - len(digits))
