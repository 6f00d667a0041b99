"""Gradients that are zero but for rounding: float64 trainings go on without that noise."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter


_NOISE = 1e-12


@torch.no_grad()
def drop_noise(gradients: Iterable[Tensor], largest: float) -> None:
    """Set to zero, in place, what is rounding noise in float64 gradients.

    The gradient of a bias in front of BatchNorm, or of attention's keys, is zero but for rounding. Adam divides by its
    size and makes a step of it, another one on every machine. Measured behind BatchNorm: up to 3e-14 of the largest
    norm among the gradients of the whole model. Entries below 1e-12 of it count as noise; sparse and complex gradients
    are left alone.
    """
    if math.isfinite(largest):
        plain = tuple(each for each in gradients if each.layout is torch.strided and not each.is_complex())
        with _unsafe_preserve_version_counter(plain):  # a graph may need them again
            for stored in map(_stored, plain):
                stored.copy_(torch.nn.functional.hardshrink(stored, _NOISE * largest))


def _stored(gradient: Tensor) -> Tensor:
    """Return a view of what is there in memory: of an expanded gradient, as of a sum, one number stands for many."""
    strides = gradient.stride()
    return gradient[tuple(slice(None if stride else 1) for stride in strides)] if 0 in strides else gradient
