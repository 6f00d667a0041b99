"""Tensors that are divided over ranks (FSDP2's, tensor parallelism's): what this rank holds of them, and which part.

Nothing here asks other ranks: where ranks are uneven, who asks would wait for ever.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness.record import Part


def is_distributed(tensor: Tensor) -> bool:
    """Tell whether a tensor is a `DTensor`; where nobody has loaded those, none is, and loading takes a second."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def num_axes(tensor: Any) -> int:
    """Return over how many axes of ranks a tensor is distributed."""
    return tensor.device_mesh.ndim if is_distributed(tensor) else 0


def held(tensor: Tensor) -> Tensor:
    """Return the numbers that this rank holds of a tensor: of most, the tensor itself."""
    return _local(tensor) if is_distributed(tensor) else tensor


@torch.no_grad()
def _local(distributed: Any) -> Tensor:
    local: Any = distributed.to_local()
    own: Tensor = local.wait() if hasattr(local, "wait") else local  # what was asked of all ranks, and is on its way
    return own


def part_of(tensor: Tensor) -> Part | None:
    """Return which part of a tensor this rank holds; None if it holds all of it."""
    if not is_distributed(tensor):
        return None
    distributed: Any = tensor
    placements, mesh = distributed.placements, distributed.device_mesh
    here, index, count = mesh.get_coordinate(), 0, 1
    for axis, placement in enumerate(placements):
        if not placement.is_replicate():
            index, count = index * mesh.size(axis) + (here[axis] if here else 0), count * mesh.size(axis)
    is_summand = any(placement.is_partial() for placement in placements)
    return Part(index if here else count, count, is_summand) if count > 1 else None


def whole(tensor: Tensor) -> Tensor | None:
    """Return a tensor as this rank holds it, or None if it holds only a part."""
    return None if part_of(tensor) else held(tensor)


def offsets(distributed: Any) -> tuple[int, ...] | None:
    """Return where in each dimension of a `DTensor` the elements of this rank begin; None if they do not lie together.

    Each axis of the mesh cuts what those before it have left into equal pieces, of which the last may be shorter.
    """
    starts, sides = [0] * distributed.ndim, list(distributed.shape)
    mesh, here = distributed.device_mesh, distributed.device_mesh.get_coordinate()
    for axis, placement in enumerate(distributed.placements):
        if here is None or not (placement.is_shard() or placement.is_replicate() or placement.is_partial()):
            return None
        if placement.is_shard():
            piece = -(-sides[placement.dim] // mesh.size(axis))
            start = min(piece * here[axis], sides[placement.dim])
            starts[placement.dim] += start
            sides[placement.dim] = min(piece, sides[placement.dim] - start)
    return tuple(starts)


def parts_of(tensors: Mapping[str, Tensor]) -> dict[str, Part]:
    """Return which part this rank holds of those tensors that are divided, by name."""
    return {name: part for name, tensor in tensors.items() if (part := part_of(tensor))}


def placements(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Say of tensors that are distributed how they are, by stream name."""
    found: Iterable[tuple[str, Any]] = ((name, each) for name, each in tensors.items() if is_distributed(each))
    return {f"placement/{name}": _placed(each.placements, each.device_mesh.shape) for name, each in found}


def _placed(placements: Iterable[Any], shape: Iterable[int]) -> str:
    return ", ".join(f"{_words(placement)} {size}" for placement, size in zip(placements, shape, strict=True))


def _words(placement: Any) -> str:
    if placement.is_replicate():
        return "copies on"
    return "sums on" if placement.is_partial() else f"dim {placement.dim} over"
