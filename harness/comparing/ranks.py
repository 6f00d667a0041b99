"""Ranks of one distributed training: merged into one record, which is held against whatever a record is.

What ranks share (weights, reduced gradients, updates, optimizer state, rates) they must agree in; what is each rank's
own is put together: samples are added, logged numbers averaged by them.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from harness.comparing.comparison import Comparison, compare
from harness.comparing.deviations import Deviation, stream_deviations
from harness.comparing.moments import micro_batches
from harness.record import Record, Stream, StreamKey, Streams, Value
from harness.record.streams import CAUSES


_SHARED = ("init", "gradient", "update", "weight", "optimizer", "learning_rate", "optimizer_steps", "buffer_before")
"""Kinds of streams that are equal on all ranks that train the same tensors. Buffers are so as a step begins: then
`DistributedDataParallel` hands those of the first rank to all; after it each has seen its own samples."""
_SETTLED = ("structure", "data", "init", "schedule", "ranks")
"""Stages that are the single process's although a module sees the samples of its own rank alone."""
_OF_ITS_RANK = re.compile(r"(Lazy)?BatchNorm\dd\(|\w*Dropout\d?d?\((?!p=0(\.0)?[,)])")
"""Modules, in their own words, that do: each rank normalises by its own samples, and draws its own masks."""
_WRAPPER = "DistributedDataParallel()"
"""What one says of itself: that there are ranks, which a single process need not be told."""
_OF_EACH = ("buffer", "logged", "evaluation")
"""Kinds of streams that each rank has its own numbers of."""
_SET_UP = tuple(kind for kind in CAUSES if kind not in ("loader", "random", "placement", "world"))
"""Kinds of clues that are not a rank's own."""
_HASH = 2**64
"""Fingerprints of integers are added modulo this."""

_Steps = Mapping[int, Sequence[Value]]
"""Step to its values, in their order."""


class Held(NamedTuple):
    """Ranks held against a single process.

    Args:
        comparison: of both, as far as they do the same.
        apart: why they don't from somewhere on, in words; empty if they do.
    """

    comparison: Comparison
    apart: str


def merge(records: Sequence[Record]) -> Record:
    """Return the records of all ranks of a training as one; of a single process, what it is held against them by.

    Of samples, their sum over ranks and micro-batches stays; what ranks part in becomes a stream of its own, of the
    stage "ranks", or "init" where they start. Where samples stand, shapes, and what modules put out are a rank's own,
    and are left out.

    Args:
        records: one a rank, in their order.
    """
    first, sizes = records[0], [_by_step(record.streams.find("batch/size")) for record in records]
    keys = dict.fromkeys(key for record in records for key in record.streams if _can_merge(key))
    feeding, untold, streams = _feeding(records), _summands(records), dict[StreamKey, Stream]()
    for key in keys.keys() - untold:
        holders = feeding if key.kind == "batch" else records
        streams[key] = _merged(key, [record.streams.find(key) for record in holders], sizes)
    structure = {name: entry for record in reversed(records) for name, entry in record.structure.items()}
    told = ((key, stream) for key, stream in first.clues.items() if key.kind in _SET_UP)
    clues = ((key, _as_written(key, stream)) for key, stream in told if _WRAPPER not in stream.values)
    return dataclasses.replace(
        first,
        structure={name: structure[name] for record in records for name in record.structure},
        streams=Streams({key: streams[key] for key in keys if key in streams} | _partings(records)),
        clues=Streams(clues),
        initial=first.initial if len({record.initial for record in records}) == 1 else "",
    )


def compare_ranks(records: Sequence[Record], single: Record, ignore: Collection[str] = ()) -> Held:
    """Hold the ranks of a training against a single process that trains on the same samples.

    BatchNorm and dropout see the samples of their own rank, and a `DistributedSampler` repeats some to fill the last
    batch: from there on the two are not the same training, which is said and not judged. That ranks agree is.

    Args:
        records: one a rank, in their order.
        single: of the single process.
        ignore: patterns of streams that are not compared.
    """
    untold = _summands(records)
    merged = (merge(each).without(ignore) for each in ([single], records))
    before, now = (_only(record, lambda key, _: key not in untold) for record in merged)
    names = _of_their_rank(now)
    texts = []
    if names:
        now, before = (_only(record, lambda _, stage: stage in _SETTLED) for record in (now, before))
        texts.append(
            f"{', '.join(names)} see samples of their own rank: what they make is not compared with the single process"
        )
    if (padded := _first_padded(now, before, len(records))) is not None:
        now, before = (_until(record, padded) for record in (now, before))
        texts.append(
            f"a sampler repeats samples in step {padded}: from there on nothing is compared with the single process"
        )
    before = dataclasses.replace(before, world=now.world)  # it stands for all of them, and for what is run again
    return Held(compare(before, now), "; ".join(texts))


def _can_merge(key: StreamKey) -> bool:
    return not (key.is_shape or key.kind == "buffer_before" or (key.kind == "batch" and key.tensor.endswith(" order")))


def _summands(records: Iterable[Record]) -> set[StreamKey]:
    """Return the streams of tensors whose parts would have to be added before anything can be said of them."""
    streams = (item for record in records for item in record.streams.items())
    return {key for key, stream in streams if stream.part and stream.part.is_summand}


def _as_written(key: StreamKey, stream: Stream) -> Stream:
    """Return what a module says of itself by the name of its own class: FSDP2 gives it one that begins so."""
    if key.kind != "module":
        return stream
    return dataclasses.replace(stream, values=tuple(str(value).removeprefix("FSDP") for value in stream.values))


def _feeding(records: Sequence[Record]) -> Sequence[Record]:
    """Return one rank for each different share of the samples: ranks that divide a model may all have the same."""
    if not any(stream.part for record in records for stream in record.streams.values()):
        return records
    shares = {_share(record): record for record in reversed(records)}
    return [record for record in records if shares[_share(record)] is record]


def _share(record: Record) -> str:
    return repr([*record.streams.of("batch")])


def _by_step(stream: Stream | None) -> _Steps:
    found: dict[int, list[Value]] = {}
    for step, value in zip(stream.steps, stream.values, strict=True) if stream else ():
        found.setdefault(step, []).append(value)
    return found


def _stream(stage: str, points: _Steps) -> Stream:
    steps = sorted(points)
    return Stream(
        stage,
        tuple(step for step in steps for _ in points[step]),
        tuple(value for step in steps for value in points[step]),
    )


def _merged(key: StreamKey, streams: Sequence[Stream | None], sizes: Sequence[_Steps]) -> Stream:
    """Put the values of all ranks together."""
    first, points = next(filter(None, streams)), [_by_step(stream) for stream in streams]
    steps = dict.fromkeys(step for each in points for step in each)
    if key.kind == "batch":
        sums = {step: [_sum(value for each in points for value in each.get(step, ()))] for step in steps}
        return _stream(first.stage, sums)
    if key.distance:
        farthest = {step: [_farthest(value for each in points for value in each.get(step, ()))] for step in steps}
        return _stream(first.stage, farthest)
    if any(stream and stream.part for stream in streams):
        return _whole(streams)
    if key.kind in _OF_EACH and len({*streams}) > 1:
        means = {step: _means(key, step, points, sizes) for step in steps}
        return _stream(first.stage, means)
    return first


def _whole(streams: Iterable[Stream | None]) -> Stream:
    """Return the norms of a tensor from those of its slices, each of which one rank or several may hold."""
    slices = {stream.part.index: stream for stream in streams if stream and stream.part}
    held = [_by_step(stream) for stream in slices.values() if stream.part and stream.part.index < stream.part.count]
    steps = dict.fromkeys(step for each in held for step in each)
    norms = {step: [*map(_norm, zip(*(each[step] for each in held if step in each), strict=False))] for step in steps}
    return _stream(next(iter(slices.values())).stage, norms)


def _farthest(values: Iterable[Value]) -> Value:
    """Return the largest of some numbers, or NaN where one is."""
    return max(map(float, values), key=lambda value: (math.isnan(value), value))


def _norm(values: Iterable[Value]) -> Value:
    return math.sqrt(math.fsum(float(value) ** 2 for value in values))


def _sum(values: Iterable[Value]) -> Value:
    """Add what goes in: hashes as integers, the rest as numbers."""
    found = [*values]
    if not any(isinstance(value, str) for value in found):
        return sum(value for value in found if not isinstance(value, str))
    return f"{sum(int(str(value), 16) for value in found) % _HASH:016x}"


def _means(key: StreamKey, step: int, points: Sequence[_Steps], sizes: Sequence[_Steps]) -> list[Value]:
    """Return the values of a step, each the mean over the ranks that have it."""
    longest = max(len(each.get(step, ())) for each in points)
    return [
        _mean(
            key.kind == "buffer",
            {
                rank: (values[place], _samples(sizes[rank].get(step, ()), place, len(values)))
                for rank, each in enumerate(points)
                if place < len(values := each.get(step, ()))
            },
        )
        for place in range(longest)
    ]


def _samples(sizes: Sequence[Value], place: int, count: int) -> float:
    """Return what a value of a step was computed from: its micro-batch if each has one, or else the step's batches."""
    own = sizes[place : place + 1] if len(sizes) == count else sizes
    return float(sum(size for size in own if not isinstance(size, str))) or 1.0


def _mean(of_squares: bool, found: Mapping[int, tuple[Value, float]]) -> Value:
    """Return the mean of what ranks say, by their samples; of counts the sum, of one value that."""
    values = [value for value, _ in found.values()]
    if len({*map(repr, values)}) == 1 or any(isinstance(value, str) for value in values):
        return values[0]
    numbers = [float(value) for value in values]
    if all(isinstance(value, int) for value in values):
        return sum(map(int, values))
    if of_squares:
        return math.sqrt(math.fsum(value * value for value in numbers) / len(numbers))
    weights = [weight for _, weight in found.values()]
    return math.fsum(map(math.prod, zip(numbers, weights, strict=True))) / math.fsum(weights)


def _partings(records: Sequence[Record]) -> dict[StreamKey, Stream]:
    """Return where ranks first part in what they share, stream by stream, with what the first has and another."""
    shared, found = [_shared(record) for record in records], dict[StreamKey, Stream]()
    for rank, record in enumerate(shared):
        first = {key: _first_holder(shared[:rank], key, stream) for key, stream in record.streams.items()}
        for other in sorted({holder for holder in first.values() if holder is not None}):
            both = {key for key, holder in first.items() if holder == other}
            for point in _beyond(shared[other], record, both):
                key = StreamKey.of("ranks", point.stream)
                step, one, another = _unlike(point, records[other], records[rank])
                if key not in found or step < found[key].steps[0]:
                    text = f"{one} on rank {other}, {another} on rank {rank}"
                    stage = "init" if point.stage == "init" else "ranks"
                    found[key] = Stream(stage, (step,), (text,))
    return found


def _unlike(point: Deviation, one: Record, other: Record) -> tuple[int, str, str]:
    """Return where two ranks part in something, and what each has.

    A rank that leaves out an optimizer's step is short of one at the end; where, its batches tell: to the step in which
    it did so the next ones count, too.
    """
    if point.stream.kind == "optimizer_steps":
        batches, others = micro_batches(one), micro_batches(other)
        for step in batches:
            if step < point.step and others[step] not in (0, batches[step]):
                return step, f"after batch {batches[step]}", f"after batch {others[step]}"
    return point.step, _text(point.baseline), _text(point.value)


def _beyond(one: Record, other: Record, keys: Set[StreamKey]) -> Iterator[Deviation]:
    """Yield where two ranks part in some streams."""
    one, other = (_only(record, lambda key, _: key in keys) for record in (one, other))
    return (point for point in stream_deviations(one, other) if point.is_beyond)


def _first_holder(records: Sequence[Record], key: StreamKey, stream: Stream) -> int | None:
    """Return the first of some ranks that holds the same as a stream is of: the tensor, or the same part of it."""
    found = ((rank, record.streams.find(key)) for rank, record in enumerate(records))
    return next((rank for rank, other in found if other and other.part == stream.part), None)


def _text(value: object) -> str:
    return "nothing" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _shared(record: Record) -> Record:
    """Return what a rank has in common with the others; of a state that was recorded again at the end, the last."""
    found = _only(record, lambda key, _: key.kind in _SHARED and not key.distance)
    last = ((key, _last(stream) if stream.stage == "state" else stream) for key, stream in found.streams.items())
    return dataclasses.replace(found, streams=Streams(last))


def _last(stream: Stream) -> Stream:
    last = _stream(stream.stage, {step: values[-1:] for step, values in _by_step(stream).items()})
    return dataclasses.replace(last, part=stream.part)


def _only(record: Record, wanted: Callable[[StreamKey, str], bool]) -> Record:
    """Return a record with some of its streams."""
    streams = Streams((key, stream) for key, stream in record.streams.items() if wanted(key, stream.stage))
    return dataclasses.replace(record, streams=streams)


def _of_their_rank(record: Record) -> list[str]:
    """Name the kinds of modules that make another training of that of several ranks."""
    texts = (str(value) for key, stream in record.clues.items() if key.kind == "module" for value in stream.values)
    return sorted({text.partition("(")[0] for text in texts if _OF_ITS_RANK.match(text)})


def _first_padded(now: Record, before: Record, ranks: int) -> int | None:
    """Return the first step whose batch is a last one that has fewer samples more than there are ranks."""
    found, given = (_by_step(record.streams.find("batch/size")) for record in (now, before))
    sizes = {step: int(float(values[0])) for step, values in found.items()}
    more = {step: size - int(float(given[step][0])) for step, size in sizes.items() if step in given}
    padded = (step for step, extra in more.items() if 0 < extra < ranks and sizes[step] < max(sizes.values()))
    return min(padded, default=None)


def _until(record: Record, step: int) -> Record:
    """Return a record without what it does from a step on; what ranks part in stays."""

    def cut(stream: Stream) -> Stream:
        points = {each: values for each, values in _by_step(stream).items() if each < step}
        return _stream(stream.stage, points)

    streams = {key: stream if key.kind == "ranks" else cut(stream) for key, stream in record.streams.items()}
    return dataclasses.replace(record, streams=Streams(streams))
