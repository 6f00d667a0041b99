"""Collect values step by step; hand them out as streams."""

from collections.abc import Iterator, Mapping, Sequence

from harness.record import STAGES, Stream, StreamKey, Streams, Value


class StreamBuilder:
    """Rows of values as a run produces them: one row holds several streams' values of one step."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, tuple[str, ...]], list[tuple[int, Sequence[Value]]]] = {}
        self._noted: dict[str, Value] = {}

    def add(self, stage: str, names: Sequence[str], step: int, values: Sequence[Value]) -> None:
        """Append one value each to the streams `names` of a stage."""
        if names:
            self._rows.setdefault((stage, tuple(names)), []).append((step, values))

    def note(self, stage: str, values: Mapping[str, Value], step: int) -> None:
        """Append those of some values, by stream, that have changed since they were noted last."""
        changed = {name: value for name, value in values.items() if self._noted.get(name) != value}
        self._noted |= changed
        for name, value in changed.items():
            self.add(stage, (name,), step, (value,))

    def has(self, stage: str) -> bool:
        """Tell whether anything was added in a stage."""
        return any(recorded == stage for recorded, _ in self._rows)

    def streams(self) -> tuple[Streams, Streams]:
        """Return the streams that judge and those that name causes, by stage in causal order, then as they came."""
        found = [*self._streams()]
        return Streams(one for one in found if not one[0].is_clue), Streams(one for one in found if one[0].is_clue)

    def _streams(self) -> Iterator[tuple[StreamKey, Stream]]:
        points: dict[str, tuple[str, list[tuple[int, Value]]]] = {}
        for (stage, names), rows in sorted(self._rows.items(), key=lambda item: STAGES.index(item[0][0])):
            for column, name in enumerate(names):
                _, series = points.setdefault(name, (stage, []))
                series.extend((step, values[column]) for step, values in rows)
        return ((StreamKey(name), _stream(stage, series)) for name, (stage, series) in points.items())


def _stream(stage: str, series: list[tuple[int, Value]]) -> Stream:
    ordered = sorted(series, key=lambda point: point[0])
    return Stream(stage, tuple(step for step, _ in ordered), tuple(value for _, value in ordered))
