"""A batch by its parts: what they are called, their shapes and their fingerprints."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from harness.record import Value
from harness.recording.fingerprints import Read, fields, fingerprints, is_array, read, tensors_in
from harness.recording.stream_builder import StreamBuilder


_MOST_NUMBERED = 8
"""Parts of a sequence that are told apart; there are more in lists of samples."""
_PAIR = 2
"""Tensors in a list that may be images and labels, each of all samples."""
AT_ONCE = 32
"""Steps of which such things are worked out at once: code that has just run takes a third of its time."""
_MOST_BYTES = 4_000_000
_OWN = "size"
"""What no part is called."""


def named_parts(given: Mapping[str, object]) -> dict[str, object]:
    """Return the parts of a batch that hold numbers, or texts if none does, by name.

    Mappings, dataclasses and named tuples name their parts, and so do samples of equal names in a list; those of a
    short sequence are numbered. What is given without such names is called what it is given as.
    """
    found: dict[str, object] = {}
    for name, batch in given.items():
        if isinstance(batch, Tensor):  # at a glance
            found[name] = batch
            continue
        parts = dict(_parts(name, batch))
        numeric = {path: part for path, part in parts.items() if next(tensors_in(part), None) is not None}
        for path, part in (numeric or {name: batch}).items():
            short = path.removeprefix(f"{name}.")
            found[path if short in found or short == _OWN else short] = part
    return found


def _parts(name: str, batch: Any) -> Iterator[tuple[str, object]]:
    held = {} if is_array(batch) else fields(batch)
    if held:
        for key, part in held.items():
            yield from _parts(f"{name}.{key}", part)
    elif _are_samples(batch):
        yield from ((f"{name}.{key}", [fields(sample)[key] for sample in batch]) for key in fields(batch[0]))
    elif isinstance(batch, list | tuple) and len(batch) <= _MOST_NUMBERED and not all(map(_is_plain, batch)):
        for i, part in enumerate(batch):
            yield from _parts(f"{name}[{i}]" if len(batch) > 1 else name, part)
    else:
        yield name, batch


def _are_samples(batch: object) -> bool:
    if not isinstance(batch, list | tuple) or any(map(is_array, batch)):
        return False
    names = [list(fields(sample)) for sample in batch]
    return any(names) and all(each == names[0] for each in names)


def _is_plain(item: object) -> bool:
    return isinstance(item, int | float | complex | str | bytes | None)


def size(batch: object) -> int:
    """Return the number of samples: a list's own length if it holds samples, or else the commonest first axis."""
    if isinstance(batch, list | tuple) and _holds_samples(batch):
        return len(batch)
    if isinstance(batch, Tensor) and batch.ndim:  # at a glance
        return len(batch)
    axes = Counter(part.size(0) for part in tensors_in(batch) if part.ndim)
    return max(axes, key=lambda axis: (axes[axis], axis), default=1)


def _holds_samples(batch: Sequence[Any]) -> bool:
    """Tell whether each item is a sample: a plain value, a pair, an image, or one of several fields or vectors."""
    if _are_samples(batch) or all(map(_is_plain, batch)):
        return True
    if not isinstance(batch, list):
        return False
    ranks = {getattr(item, "ndim", None) for item in batch}
    return (ranks in ({1}, {3}) and len(batch) > _PAIR) or all(type(item) is tuple for item in batch)


def shapes(parts: Mapping[str, object]) -> dict[str, Value]:
    """Return the shape of each part that is a tensor or an array, by stream name."""
    known = {name: part for name, part in parts.items() if not getattr(part, "is_nested", False)}
    found = {name: getattr(part, "shape", None) for name, part in known.items()}
    return {
        f"batch/{name} shape": "x".join(map(str, shape)) or "one number"
        for name, shape in found.items()
        if isinstance(shape, tuple)
    }


class Fingerprints:
    """Takes the fingerprints of batches, of several at once unless they are large: then it does not matter.

    Args:
        builder: of the streams.
    """

    def __init__(self, builder: StreamBuilder) -> None:
        self._builder = builder
        self._held: list[tuple[int, int, dict[str, Read]]] = []  # of steps and phases
        self._bytes = 0

    def take(self, parts: Mapping[str, object], step: int, phase: int) -> None:
        """Read the parts of a batch, as they are now.

        Raises:
            RecorderError: one is nothing that can be compared.
        """
        held = {name: read(part) for name, part in parts.items()}
        self._held.append((step, phase, held))
        self._bytes += sum(each.nbytes for part in held.values() for each in part if isinstance(each, Tensor))
        if len(self._held) == AT_ONCE or self._bytes > _MOST_BYTES:
            self.work_out()

    def work_out(self) -> None:
        """Add the fingerprints of what was read."""
        told = iter(fingerprints([each for _, _, parts in self._held for each in parts.values()]))
        for step, phase, parts in self._held:
            ends = [(name, end, value) for name in parts for end, value in next(told).items()]
            names = [f"batch/{name} {end}".strip() for name, end, _ in ends]
            self._builder.add("data", names, step, [value for _, _, value in ends], phase=phase)
        self._held.clear()
        self._bytes = 0
