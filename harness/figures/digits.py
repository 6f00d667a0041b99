"""Numbers as colours, digit by digit: what lets a tolerance for pixels see a change of a thousandth.

A column of cells shows a number: each cell ten times what the cell above shows, without the whole turns of a colour map
that ends where it began. So a cell's colour tells a digit and what follows it, and moves as smoothly as the number.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from harness.figures.canvas import Pixels, Values, raster, shades
from harness.record.record import Record


DIGITS = 8
"""Of series. Equal float64 trainings agree to more; the liveliest of `tests/study` part in the ninth."""
SUM_DIGITS = 6
"""Of sums, which add up the rounding of all that is in them."""
LEVEL_DIGITS = 4
"""Of pictures, whose eight bits hold no more, and whose levels may be rounded either way."""
LEFT, BOTTOM = 72, 20  # where the digits of series begin
ROOM = 640 - LEFT - 8
CELL_HEIGHT = 18
_MOST = 8  # series with digits of their own, each a cell of two pixels a digit
_GAP = 8  # white pixels above the digits of a picture
_NOISE = 1e-6  # what is smaller has fewer digits: of a centred advantage, say, every one is rounding
_GOLDEN = (5**0.5 - 1) / 2


def weights(count: int) -> Values:
    """Return irrational numbers between 1 and 2, no two alike: what moves from one to another moves their sum."""
    return np.array([1 + place * _GOLDEN % 1 for place in range(1, count + 1)])


def checksums(numbers_RC: Values) -> Values:
    """Return a sum of each column in which all numbers count, each row in units of its own; NaN counts as zero."""
    known_RC = np.nan_to_num(numbers_RC)
    return weights(len(known_RC)) @ (known_RC / unit(known_RC))


def unit(numbers: Values) -> Values:
    """Return a power of ten above each row; not right above it, as rows often end at 1 or at 0.1."""
    largest = np.abs(numbers).max(axis=-1, keepdims=True, initial=0.0)
    exponents = np.ceil(np.log10(np.maximum(largest, _NOISE)) + 0.04).clip(max=308)
    power: Values = 10.0**exponents
    return power


def with_digits(record: Record, pixels_HWC: Pixels, sums_C: Values, digits: int = SUM_DIGITS) -> Figure:
    """Return a picture with the digits of sums below it; in low precision without, as these are another machine's."""
    return raster(pixels_HWC) if record.is_low_precision else with_exact_digits(pixels_HWC, sums_C, digits)


def with_exact_digits(pixels_HWC: Pixels, sums_C: Values, digits: int = SUM_DIGITS) -> Figure:
    """Return a picture with the digits of sums below it, three tenths as high as itself."""
    height, width = pixels_HWC.shape[:2]
    cells_HWC = digit_cells(sums_C, digits, -(-height * 3 // (10 * digits)), width)
    below_HWC = np.pad(cells_HWC, ((_GAP, 0), (0, width - cells_HWC.shape[1]), (0, 0)), constant_values=255)
    return raster(np.concatenate([pixels_HWC, below_HWC]))


def digit_cells(values_C: Values, digits: int, height: int, room: int) -> Pixels:
    """Return a column of cells a value, all digits of it that follow the point, as wide as there is room.

    Of more values than pixels neighbours share a column, and all of them count. One such column is too little to be
    seen among hundreds: a wide one at the right, which is of all values, moves with any of them.
    """
    if len(values_C) > room:
        wide = room // 8
        parts = ((_shared(values_C, room - wide), room - wide), (_of_all(values_C), wide))
        return np.concatenate([digit_cells(values, digits, height, width) for values, width in parts], axis=1)
    turns_DC = np.outer(10.0 ** np.arange(digits), values_C) % 1
    cells_HWC = shades(turns_DC, 0.0, 1.0, "twilight").repeat(height, axis=0)
    return cells_HWC.repeat(room // max(1, len(values_C)), axis=1)


def _shared(values_C: Values, room: int) -> Values:
    """Return a sum of as many neighbours each as it takes to have room for all."""
    shared = -(-len(values_C) // room)
    return weights(shared) @ np.pad(values_C, (0, -len(values_C) % shared)).reshape(-1, shared).T


def _of_all(values_C: Values) -> Values:
    """Return one sum over the root of the count, as rounding grows, which moves as many digits as of one value."""
    scaled_C: Values = weights(len(values_C)) / len(values_C) ** 0.5
    return scaled_C[None] @ values_C


def add_digits(figure: Figure, series: Sequence[Sequence[float]]) -> None:
    """Put one raster of digits a series below each other, the first on top; beyond eight, the last is of the rest.

    Signs and powers of ten are left to the curves.
    """
    rows = [np.abs(values) / unit(np.abs(values)) for values in map(np.array, series)]
    if len(rows) > _MOST:
        rows[_MOST - 1 :] = [_together(rows[_MOST - 1 :])]
    height = CELL_HEIGHT // len(rows)
    for index, values in enumerate(reversed(rows)):
        cells_HWC = digit_cells(values, DIGITS, height, ROOM)
        figure.figimage(cells_HWC, xo=LEFT, yo=BOTTOM + index * DIGITS * height, origin="upper")


def _together(rows: Sequence[Values]) -> Values:
    longest = max(map(len, rows))
    return weights(len(rows)) @ np.stack([np.pad(row, (0, longest - len(row))) for row in rows])
