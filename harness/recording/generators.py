"""The generators that a training may draw from, and digests of their states."""

import ctypes
import functools
import random
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from harness.record import Value


_TWISTER_BYTES = 4 * 625
"""Of the state of NumPy's generator: its words, and the place among them."""
_TORCH_BYTES = 5044
"""Of the state of torch's; behind them there is padding, which may hold anything."""


def of_model(model: nn.Module) -> dict[str, torch.Generator]:
    """Return the generators that a model draws from, beside torch's own of the CPU."""
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return {str(device): torch.cuda.default_generators[device.index] for device in devices}


def of_loader(name: str, loader: DataLoader[Any]) -> dict[str, torch.Generator]:
    """Return the generator that a data loader or its sampler was given, if any."""
    holders = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None), loader.batch_sampler)
    given = (getattr(holder, "generator", None) for holder in holders)
    return {f"loader {name}": each for each in given if isinstance(each, torch.Generator)}


def digests(generators: Mapping[str, torch.Generator]) -> dict[str, Value]:
    """Return digests of the states of Python's, NumPy's, torch's and some other generators, by stream name.

    They are taken in each step: each is the cheapest look at all of the state, as `getstate` and its like are not.
    """
    states = {"python": hash(random.getstate()[1]), "numpy": _of_numpy()}
    states |= {name: _of_torch(each) for name, each in {"torch": torch.default_generator, **generators}.items()}
    return {f"random/{name}": f"{state & 0xFFFFFFFF:08x}" for name, state in states.items()}


def _of_numpy() -> int:
    numpys: Any = np.random  # whose stub leaves out the function
    generator = numpys.get_bit_generator()
    if not isinstance(generator, np.random.MT19937):
        return zlib.crc32(repr(generator.state).encode())
    return zlib.crc32(_state_of(generator))


@functools.lru_cache(maxsize=1)
def _state_of(generator: np.random.MT19937) -> "ctypes.Array[ctypes.c_char]":
    """Return the bytes of a generator's state as they are now, and later."""
    return (ctypes.c_char * _TWISTER_BYTES).from_address(generator.ctypes.state_address)


def _of_torch(generator: torch.Generator) -> int:
    state = generator.get_state()
    return zlib.crc32(ctypes.string_at(state.data_ptr(), min(state.nbytes, _TORCH_BYTES)))
