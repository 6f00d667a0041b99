"""The generators that a training may draw from, and digests of their states."""

import ctypes
import functools
import random
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from harness.record import Value


_TWISTER_BYTES = 4 * 625
"""Of the state of NumPy's generator: its words, and the place among them."""
_TORCH_BYTES = 5044
"""Of the state of torch's; behind them there is padding, which may hold anything."""

State = Mapping[str, object]
"""Of generators, by name: bytes, a tuple of integers, or a tensor of bytes."""


def of_model(model: nn.Module) -> dict[str, torch.Generator]:
    """Return the generators that a model draws from, beside torch's own of the CPU."""
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return {str(device): torch.cuda.default_generators[device.index] for device in devices}


def of_loader(name: str, loader: DataLoader[Any]) -> dict[str, torch.Generator]:
    """Return the generator that a data loader or its sampler was given, if any."""
    holders = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None), loader.batch_sampler)
    given = (getattr(holder, "generator", None) for holder in holders)
    return {f"loader {name}": each for each in given if isinstance(each, torch.Generator)}


def states(generators: Mapping[str, torch.Generator]) -> State:
    """Return copies of the states of Python's, NumPy's, torch's and some other generators, by name.

    They are taken in each step: each is the cheapest look at all of the state, as `getstate` and its like are not.
    """
    found = {"python": random.getstate()[1], "numpy": _of_numpy()}
    return found | {name: each.get_state() for name, each in {"torch": torch.default_generator, **generators}.items()}


def digests(state: State) -> dict[str, Value]:
    """Return digests of states, by stream name."""
    return {f"random/{name}": f"{_digest(each) & 0xFFFFFFFF:08x}" for name, each in state.items()}


def _digest(state: object) -> int:
    if isinstance(state, Tensor):
        return zlib.crc32(ctypes.string_at(state.data_ptr(), min(state.nbytes, _TORCH_BYTES)))
    return zlib.crc32(state) if isinstance(state, bytes) else hash(state)


def _of_numpy() -> bytes:
    numpys: Any = np.random  # whose stub leaves out the function
    generator = numpys.get_bit_generator()
    if not isinstance(generator, np.random.MT19937):
        return repr(generator.state).encode()
    return ctypes.string_at(_address(generator), _TWISTER_BYTES)


@functools.lru_cache(maxsize=1)
def _address(generator: np.random.MT19937) -> int:
    """Return where a generator keeps its state, now and later."""
    address: int = generator.ctypes.state_address
    return address
