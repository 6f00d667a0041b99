"""Collect values step by step; hand them out as streams."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.record import STAGES, Part, Stream, StreamKey, Streams, Value


_Point = tuple[int, int, Value]
"""Step, phase, value."""


class StreamBuilder:
    """Rows of values as a run produces them: one row holds several streams' values of one step.

    Attributes:
        phase: of the step that is under way; see `Stream`.
        parts: by stream name, of those that are of a part of a tensor.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, tuple[str, ...]], list[tuple[int, int, Sequence[Value]]]] = {}
        self._noted: dict[str, Value] = {}
        self.phase = 0
        self.parts: dict[str, Part] = {}

    def add(
        self, stage: str, names: Sequence[str], step: int, values: Sequence[Value], *, phase: int | None = None
    ) -> None:
        """Append one value each to the streams `names` of a stage; of the present phase, unless one is given."""
        if names:
            row = step, self.phase if phase is None else phase, values
            self._rows.setdefault((stage, tuple(names)), []).append(row)

    def note(self, stage: str, values: Mapping[str, Value], step: int, *, phase: int | None = None) -> None:
        """Append those of some values, by stream, that have changed since they were noted last."""
        changed = {name: value for name, value in values.items() if self._noted.get(name) != value}
        self._noted |= changed
        for name, value in changed.items():
            self.add(stage, (name,), step, (value,), phase=phase)

    def streams(self) -> tuple[Streams, Streams]:
        """Return the streams that judge and those that name causes, by stage in causal order, then as they came."""
        found = [*self._streams()]
        return Streams(one for one in found if not one[0].is_clue), Streams(one for one in found if one[0].is_clue)

    def _streams(self) -> Iterator[tuple[StreamKey, Stream]]:
        points: dict[str, tuple[str, list[_Point]]] = {}
        for (stage, names), rows in sorted(self._rows.items(), key=lambda item: STAGES.index(item[0][0])):
            for column, name in enumerate(names):
                _, series = points.setdefault(name, (stage, []))
                series.extend((step, phase, values[column]) for step, phase, values in rows)
        for name, (stage, series) in points.items():
            yield StreamKey(name), replace(_stream(stage, series), part=self.parts.get(name))


def _stream(stage: str, series: list[_Point]) -> Stream:
    ordered = sorted(series, key=lambda point: point[0])
    steps, values = tuple(step for step, _, _ in ordered), tuple(value for _, _, value in ordered)
    return _shortened(Stream(stage, steps, values, tuple(phase for _, phase, _ in ordered)))


def _shortened(stream: Stream) -> Stream:
    """Return a stream with the phases of one step if every step has the same, with none if all are 0."""
    if not any(stream.phases):
        return replace(stream, phases=())
    phases: dict[int, int] = {}
    pairs = zip(stream.places(), stream.phases, strict=True)
    same = all(phases.setdefault(place, phase) == phase for (_, place), phase in pairs)
    return replace(stream, phases=tuple(phases.values())) if same else stream
