"""Streams: one quantity each over a run, with a key that says of what, in the stages of a step."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta


STAGES = ("structure", "data", "init", "schedule", "forward", "ranks", "backward", "update", "state", "evaluation")
"""Causal order. The schedule comes first in a step: the rate that the step will use is settled before it begins.
Ranks part where they exchange gradients: before these are what an optimizer uses."""
LONGEST_RUN = 10**9
"""Steps; beyond it a file is no record, and lists of one entry a step would fill the memory."""

Value = float | int | str
"""A number, or the fingerprint of something that is not one."""
TENSOR_KINDS = ("init", "gradient", "update", "weight", "buffer", "optimizer")
"""Kinds of streams that belong to a tensor."""
CAUSES = ("world", "config", "placement", "module", "setting", "loader", "random", "mode")
"""Kinds of streams that say how a training was set up; they are compared exactly, and name causes."""
CALLS = ("output", "output_gradient", "evaluation_output")
"""Kinds of streams that have a number for each call of a module; they name the first module that leaves. An output in
an evaluation is of a kind of its own: a stream has one stage."""
DIGITS = 10
"""Of those numbers, that are kept: they never judge, and a record is to be small."""
KINDS = (
    *(*TENSOR_KINDS, "batch", "learning_rate", "logged", "optimizer_steps", "evaluation", "distance"),
    *(*CAUSES, *CALLS, "buffer_before", "ranks"),
)
"""Kinds of streams that a recorder of this version knows: a baseline says which its own knew."""
_NAMED = (*TENSOR_KINDS, "batch", "learning_rate", "evaluation", *CAUSES, *CALLS, "buffer_before", "ranks")
_WITH_ENTRY = ("optimizer", "setting", "loader")
_FAMILIES = (*TENSOR_KINDS, *CALLS)
FIRST_STEP = -1
"""Of what happens before the first step."""


class StreamKey(str):
    """A stream's name and, taken apart where it is made, what it says.

    Attributes:
        kind: one of `KINDS`; of a distance from a stored state, that of what is distant.
        tensor: the tensor, parameter group, part of a batch, module, or number that was logged.
        entry: of an optimizer's state, `exp_avg`, or of what was set up, `momentum`, `batch_size`; empty otherwise.
        distance: whether the numbers are distances from a baseline's stored state, whose own are zero.
        family: what streams share a size and a limit: all gradients, one entry of all optimizer states. Others are a
            family each.
    """

    __slots__ = ("distance", "entry", "family", "kind", "tensor")
    kind: str
    tensor: str
    entry: str
    distance: bool
    family: str

    def __new__(cls, name: str) -> Self:
        """Take a name apart: `gradient/conv.weight`, `optimizer/conv.weight/exp_avg`, `loss`."""
        if isinstance(name, cls):
            return name
        key = super().__new__(cls, name)
        text = name.removeprefix("distance/")
        kind, _, rest = text.partition("/")
        tensor, _, entry = rest.rpartition("/") if kind in _WITH_ENTRY else (rest, "", "")
        key.distance = text != name
        if kind in _NAMED and tensor and (entry or kind not in _WITH_ENTRY):
            key.kind, key.tensor, key.entry = kind, tensor, entry
        else:
            key.kind, key.tensor, key.entry = "optimizer_steps" if text == "optimizer_steps" else "logged", text, ""
        shared = "/".join(filter(None, (key.kind, key.entry))) if key.kind in _FAMILIES else text
        key.family = "distance/" * key.distance + shared
        return key

    @classmethod
    def of(cls, kind: str, tensor: str, entry: str = "", *, distance: bool = False) -> Self:
        """Return the key of a stream."""
        named = kind if kind in _NAMED else ""
        return cls("distance/" * distance + "/".join(filter(None, (named, tensor, entry))))

    @property
    def is_clue(self) -> bool:
        """Whether its numbers name causes and never judge."""
        return self.kind in CAUSES or self.kind in CALLS

    @property
    def is_shape(self) -> bool:
        """Whether its values are shapes, which are recorded only as they change, and hold until then."""
        return self.kind == "batch" and self.tensor.endswith(" shape")

    def renamed(self, tensor: str) -> Self:
        """Return the key of the same quantity of another tensor."""
        return self.of(self.kind, tensor, self.entry, distance=self.distance)


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which part of a tensor that is divided over ranks a stream's numbers are of.

    Of slices, the squares of the norms add up to that of the whole tensor, each index once: ranks of one index hold the
    same. Of summands, whose elements would have to be added first, the norms tell nothing of the whole.
    """

    index: Annotated[int, Meta(ge=0, lt=2**31)]  # `count` on a rank that holds nothing
    count: Annotated[int, Meta(ge=2, lt=2**31)]  # of all parts
    is_summand: bool = False  # else a slice


@dataclass(frozen=True)
class Stream:
    """One quantity over a run.

    Args:
        stage: where in a step it is made; one of `STAGES`.
        steps: step of each value, 0-based, ascending; a step may occur several times (micro-batches) or never. What
            happens before the first step has the step -1.
        values: one a step in `steps`; floats are exact.
        phases: of each value, how many optimizers had stepped in its step before the models ran for it; of the values
            of one step alone if every step has the same. Empty in a training with one optimizer.
        part: which part of a tensor the numbers are of; None of a whole one, and of all that is no tensor's.
    """

    stage: str
    steps: tuple[int, ...]
    values: tuple[Value, ...]
    phases: tuple[int, ...] = ()
    part: Part | None = None

    def numbers(self) -> Iterator[tuple[int, float]]:
        """Yield step and value of each number; fingerprints are none."""
        pairs = zip(self.steps, self.values, strict=True)
        return ((step, float(value)) for step, value in pairs if not isinstance(value, str))

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield of each value its step and its place among the step's values."""
        for step, values in groupby(self.steps):
            yield from ((step, place) for place, _ in enumerate(values))

    def spread(self) -> Iterator[int]:
        """Yield the phase of each value."""
        if len(self.phases) == len(self.values):
            return iter(self.phases)
        return (self.phases[min(place, len(self.phases) - 1)] for _, place in self.places())

    def non_finite(self) -> Iterator[tuple[int, float]]:
        """Yield step and value of each NaN or infinity."""
        pairs = zip(self.steps, self.values, strict=True)
        return ((step, value) for step, value in pairs if isinstance(value, float) and not math.isfinite(value))


class Streams(dict[StreamKey, Stream]):
    """The streams of a record by key; a name as text finds its stream, too.

    Args:
        streams: by key or name.
    """

    def __init__(self, streams: Mapping[Any, Stream] | Iterable[tuple[str, Stream]] = ()) -> None:
        pairs = streams.items() if isinstance(streams, Mapping) else streams
        super().__init__((StreamKey(name), stream) for name, stream in pairs)

    def __getitem__(self, name: str) -> Stream:
        return super().__getitem__(StreamKey(name))

    def find(self, name: str) -> Stream | None:
        """Return a stream, or None if there is none of this name."""
        return self.get(StreamKey(name))

    def of(self, kind: str) -> Iterator[tuple[StreamKey, Stream]]:
        """Yield the streams of a kind, without distances from stored states."""
        return ((key, stream) for key, stream in self.items() if key.kind == kind and not key.distance)
