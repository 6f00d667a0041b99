"""How large the gradient of each layer is at each step: a layer that gets none, or too much, stands out."""

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.figures.layers import layer_raster, layer_sheet
from harness.figures.series import layer_norms
from harness.record import Record


__all__ = ["gradient_flow"]

_LEAST = -20.0
"""Exponent of ten: what is smaller counts as zero."""


def gradient_flow(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the gradient norm of each layer at each step, as the optimizer got it, on a logarithmic colour scale.

    The first layer is on top. A norm of zero has the lowest colour, a step without a gradient is grey.

    Args:
        record: a finished training.
        labelled: with the layers' names and a colour bar, for people; without, for pytest-mpl.

    Returns:
        A 640x480 pixel figure (labelled: 800 wide, as high as its layers need), unknown to pyplot.

    Raises:
        NoStreamError: the record has no gradients.
        NonFiniteError: a norm is NaN or infinite; names the first such step.
    """
    layers = layer_norms(record, "gradient", "gradient_flow")
    exponents = {name: np.log10(np.where(norms == 0, 10.0**_LEAST, norms)) for name, norms in layers.items()}
    limits = _decades(np.stack(list(exponents.values())))
    if not labelled:
        return layer_raster(np.stack(list(exponents.values())), *limits)
    title = f"Gradient flow, {record.name}, {record.device}"
    return layer_sheet(exponents, limits, title, "log10 of the gradient norm")


def _decades(exponents: NDArray[np.float64]) -> tuple[float, float]:
    """Return the whole exponents around those of the norms that are not zero."""
    known = exponents[exponents > _LEAST]
    if not known.size:
        return _LEAST, 0.0
    low = math.floor(known.min())
    return float(low), float(max(math.ceil(known.max()), low + 1))
