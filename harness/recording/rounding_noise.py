"""Gradients that are zero but for rounding: float64 trainings go on without that noise."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter

from harness.recording.norms import norms


_NOISE = 1e-12
_SMALL = 1e-3
"""Of the largest norm: what is dropped from a tensor of a larger one does not show in its norm."""


def drop_noise(gradients: Mapping[str, Tensor], found: Mapping[str, float], largest: float) -> dict[str, float]:
    """Set to zero, in place, what is rounding noise in float64 gradients; return the norms that this may have changed.

    The gradient of a bias in front of BatchNorm, or of attention's keys, is zero but for rounding. Adam divides by its
    size and makes a step of it, another one on every machine. Measured behind BatchNorm: up to 3e-14 of the largest
    norm among the gradients of the whole model. Entries below 1e-12 of it count as noise; sparse and complex gradients
    are left alone.

    Args:
        gradients: by name.
        found: the norm of each.
        largest: norm among the gradients of the whole model.
    """
    if not math.isfinite(largest):
        return {}
    plain = {name: each for name, each in gradients.items() if each.layout is torch.strided and not each.is_complex()}
    with _unsafe_preserve_version_counter(tuple(plain.values())):  # a graph may need them again
        for stored in map(_stored, plain.values()):
            torch.hardshrink(stored, _NOISE * largest, out=stored)
    small = [name for name in plain if found[name] < _SMALL * largest]
    return dict(zip(small, norms(plain[name] for name in small), strict=True))


def _stored(gradient: Tensor) -> Tensor:
    """Return a view of what is there in memory: of an expanded gradient, as of a sum, one number stands for many."""
    strides = gradient.stride()
    return gradient[tuple(slice(None if stride else 1) for stride in strides)] if 0 in strides else gradient
