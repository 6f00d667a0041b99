"""What a training holds between two steps, kept every few steps: a run elsewhere is put back on it."""

import hashlib
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from harness.errors import StatesError
from harness.record import StreamKey
from harness.record.matching import matched
from harness.recording.jitter import jitter


STATES_BYTES = 2_000_000
"""Most bytes that a training's states may take, so that they can be committed."""

_OF_A_RANK = re.compile(r"rank(\d+)/(.*)", re.DOTALL)
"""Names of what one rank alone holds, in the states of several."""

# a tensor counts as no smaller than this share of the largest of its kind: a fresh bias is zero but for rounding
_LEAST_SHARE = 1e-3

Arrays = Mapping[str, Tensor]
"""A state: stream name of each weight, buffer and optimizer tensor (`weight/conv.weight`) to its value."""


class States:
    """States of a training, by the step that begins with them.

    Low-precision trainings part exponentially on other machines. From a state of the baseline to the next one they
    stay close, so each such segment can be judged sharply ("multiple shooting").

    An empty object is filled by the recorder that is given it: every step, then every second, every fourth and so on,
    as `STATES_BYTES` allows. A filled one is put back into the training at its steps.

    Args:
        kept: step to state; empty to collect.
    """

    def __init__(self, kept: Mapping[int, Arrays] | None = None) -> None:
        self._kept: dict[int, Arrays] = dict(kept or {})
        self._every = 1
        self.collects = not self._kept

    def __reduce__(self) -> "tuple[Callable[[bytes], States], tuple[bytes]]":
        return type(self).from_bytes, (self.to_bytes(),)

    @classmethod
    def of_ranks(cls, ranks: "Sequence[States]") -> Self:
        """Return the states of all ranks of a training as one: what all hold alike is kept once."""
        steps = set[int].intersection(*({*each.steps} for each in ranks))
        merged = cls({step: _of_all([each._kept[step] for each in ranks]) for step in steps})
        merged._thin_out()
        return merged

    def of_rank(self, rank: int) -> "States":
        """Return what one rank of a training has of the states of all; empty to collect where they are."""
        return States({step: _of_one(state, rank) for step, state in self._kept.items()})

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that begin with a kept state, ascending."""
        return tuple(sorted(self._kept))

    def keep(self, step: int, tensors: Arrays) -> None:
        """Keep copies of tensors as the state that a step begins with, and thin out what grows too large."""
        if step % self._every or not self.collects:
            return
        plain = torch.contiguous_format
        self._kept[step] = {name: t.cpu().clone(memory_format=plain) for name, t in _storable(tensors).items()}
        self._thin_out()
        self.collects = bool(self._kept)  # one state alone is too large: keep none at all

    def _thin_out(self) -> None:
        while sum(tensor.nbytes for state in self._kept.values() for tensor in state.values()) > STATES_BYTES:
            self._every *= 2
            self._kept = {} if len(self._kept) == 1 else {n: s for n, s in self._kept.items() if n % self._every == 0}

    @torch.no_grad()
    def put_back(self, step: int, tensors: Arrays, seed: int = 0, *, reach: float = math.inf) -> dict[str, float]:
        """Give a training's tensors the values kept at a step, and return how far each was from them.

        Renamed tensors are matched by shape and order. A distance is the norm of the difference over the norm of the
        kept value; a tensor that the training lacks, or has in another shape, or whose kind was all zero, is at a
        distance of 1. Tensors that are farther away than `reach` stay where they are. `seed` is that of a random
        change of the values by one unit in the last place; 0 for none.
        """
        kept, tensors = self._kept.get(step, {}), _storable(tensors)
        names = matched(_shapes(kept), _shapes(tensors))
        kept = {names.get(name, name): value for name, value in kept.items()}
        sizes = _sizes(kept)
        distances = {name: _distance(tensors.get(name), value, sizes[name]) for name, value in kept.items()}
        moved = []
        for name, value in kept.items():
            fits = name in tensors and tensors[name].shape == value.shape
            if fits and not distances[name] > reach:
                tensors[name].copy_(value)
                moved.append(name)
        for name in moved if seed else ():  # each by its name: not all ranks hold all of them
            jitter([tensors[name]], zlib.crc32(f"{seed + step} {name}".encode()))
        return distances

    def to_bytes(self) -> bytes:
        """Return the states in the safetensors format: numbers and names, nothing that runs."""
        from safetensors.torch import save

        return save({f"{n}/{name}": tensor for n, state in self._kept.items() for name, tensor in state.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            StatesError: it is not such a file.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        kept: dict[int, dict[str, Tensor]] = {}
        try:
            for key, tensor in load(data).items():
                step, _, name = key.partition("/")
                kept.setdefault(int(step), {})[name] = tensor
        except (SafetensorError, ValueError, KeyError) as error:  # a KeyError is a number format that torch lacks
            raise StatesError.of(error) from error
        return cls(kept)

    @property
    def sha256(self) -> str:
        """Fingerprint of the states."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _of_all(ranks: Sequence[Arrays]) -> dict[str, Tensor]:
    """Return what all ranks hold: under its own name if all hold the same, or else under that of each rank."""
    names = dict.fromkeys(name for each in ranks for name in each)
    alike = {name for name in names if all(name in each and torch.equal(each[name], ranks[0][name]) for each in ranks)}
    own = {f"rank{rank}/{name}": each[name] for rank, each in enumerate(ranks) for name in each if name not in alike}
    return {name: ranks[0][name] for name in names if name in alike} | own


def _of_one(state: Arrays, rank: int) -> dict[str, Tensor]:
    """Return what one rank holds."""
    found = ((_OF_A_RANK.fullmatch(name), name, tensor) for name, tensor in state.items())
    return {its[2] if its else name: tensor for its, name, tensor in found if not its or its[1] == f"{rank}"}


def _storable(tensors: Arrays) -> dict[str, Tensor]:
    """Return views of dense tensors as real numbers, past autograd's bookkeeping: a graph may hold them."""
    dense = {name: tensor.data for name, tensor in tensors.items() if tensor.layout is torch.strided}
    return {name: torch.view_as_real(t) if t.is_complex() else t for name, t in dense.items()}


def _shapes(tensors: Arrays) -> dict[str, list[int]]:
    return {name: list(tensors[name].shape) for name in sorted(tensors)}  # as they come from a file


def _sizes(kept: Arrays) -> dict[str, float]:
    """Return the norm of each tensor, or a small share of the largest of its family if that is more."""
    wide = {name: value.double() for name, value in kept.items()}
    norms = {name: float(torch.linalg.vector_norm(value[value.isfinite()])) for name, value in wide.items()}
    largest: dict[str, float] = {}
    for name, norm in norms.items():
        largest[StreamKey(name).family] = max(largest.get(StreamKey(name).family, 0.0), norm)
    return {name: max(norm, _LEAST_SHARE * largest[StreamKey(name).family]) for name, norm in norms.items()}


def _distance(own: Tensor | None, kept: Tensor, size: float) -> float:
    if own is None or own.shape != kept.shape:
        return 1.0
    own, kept = own.cpu().double(), kept.double()
    alike = (own == kept) | (own.isnan() & kept.isnan())  # a mask's infinities are at no distance from themselves
    difference = float(torch.linalg.vector_norm(torch.where(alike, 0.0, own - kept)))
    return difference / size if size else float(difference != 0)
