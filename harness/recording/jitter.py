"""Change numbers by one unit in the last place: the smallest change there is, as rounding elsewhere would make it."""

from collections.abc import Iterable

import torch
from torch import Tensor

from harness.recording.parts import held, part_of


def jitter_alike(tensors: Iterable[Tensor], seed: int) -> None:
    """Do the same to tensors of which some may be divided over ranks: what all ranks hold stays the same on all."""
    divided: dict[bool, list[Tensor]] = {}
    for tensor in tensors:
        divided.setdefault(part_of(tensor) is not None, []).append(held(tensor))
    for group in divided.values():  # parts differ in size: numbers that are drawn for them are not counted with others
        jitter(group, seed)


@torch.no_grad()
def jitter(tensors: Iterable[Tensor], seed: int) -> None:
    """Move each number, in place, to one of its two neighbours, at random; integers and zeros stay as they are.

    Zeros are exact on every machine, and Adam takes roots of some: below zero lies NaN. So is infinity, in a mask. A
    seed of 0 moves nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors if seed else ():
        value = tensor.data
        if value.layout is not torch.strided:
            value = value._values() if value.is_sparse else value.values()
        if value.is_complex():
            value = torch.view_as_real(value.conj() if value.is_conj() else value)
        if value.is_floating_point() and value.element_size() > 1:  # float8 has no neighbours in torch
            up = torch.rand(value.shape, generator=generator).to(value.device) < 0.5
            infinite = torch.full_like(value, torch.inf)
            neighbour = torch.nextafter(value, torch.where(up, infinite, -infinite))
            moves = (value != 0) & value.isfinite() & neighbour.isfinite()
            value.copy_(torch.where(moves, neighbour, value))
