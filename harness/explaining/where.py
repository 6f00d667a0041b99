"""Where a training leaves its baseline: the first operation whose result is new although what went into it is not.

Rows of two traces are matched by the names of their operations. A result is known if the baseline has the same number
in the matched row, or in one that matches none: so code that computes the same by other operations ends in what is
known. A new
result that is made of known ones alone is where something differs; it counts if results of the baseline are gone
for it, and if not all that is made of it is known again.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.explaining.traced import Operation, Traced
from harness.record import Record
from harness.record.trace import Operations, Trace


_SHIPPED = "harness/shipped/"
_CLOSE = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 1e-2}
"""Relative difference up to which two numbers of a precision are one: far above rounding within the first step."""


@dataclass(frozen=True)
class Where:
    """The first operation that differs.

    Args:
        operation: the present one.
        baseline: name of the one in its place; empty if there is none.
        number: that of the baseline's, if the operation is the same.
        constants: (name, former, present) of plain values of modules that its lines name, and that are others now.
    """

    operation: Operation
    baseline: str
    number: float | None
    constants: tuple[tuple[str, str, str], ...]

    @property
    def line(self) -> str:
        """File and line: `models/net.py:42`."""
        place = self.operation.places[0]
        return f"{place.file}:{place.line}"


def where(comparison: Comparison, traced: Traced) -> Where | None:
    """Return the operation from which on a training differs from its baseline; None if the traces don't tell.

    Args:
        comparison: that differs.
        traced: the present training.
    """
    kept, effect = comparison.baseline.trace, next(iter(comparison.deviations), None)
    if not (kept and effect) or _release(kept.torch) != _release(traced.torch):
        return None
    names = [name for name in _parts(effect, kept) if name in kept.parts and name in traced.parts]
    rows = {name: _shown(traced.parts[name].operations, kept.parts[name]) for name in names}
    matches = [_Match(kept.parts[name], rows[name], _CLOSE[comparison.record.precision]) for name in names]
    calls = (*(match.first for match in matches), *(match.gone for match in matches[-1:]))
    found = next((place for call in calls if (place := call())), None)
    if found is None or not found[0].places:
        return None
    operation, other, number = found
    if comparison.recipe and operation.places[0].file.startswith(_SHIPPED):  # our loop does what another recipe says
        return None
    return Where(operation, other, number, tuple(_changed(operation, kept.constants, traced.constants)))


def _release(torch: str) -> str:
    """Return a version of torch without what it was built for: its operations are the same."""
    return torch.partition("+")[0]


def is_same_start(record: Record, traced: Record) -> bool:
    """Tell whether a training that was traced, perhaps not to its end, is the one of a record, as its losses say."""
    close = 100 * _CLOSE[record.precision]
    losses = ((record.streams.find(key), stream) for key, stream in traced.streams.items() if stream.stage == "forward")
    return all(
        known
        and all(
            _are_close(now, old, close) for (_, now), (_, old) in zip(stream.numbers(), known.numbers(), strict=False)
        )
        for known, stream in losses
    )


def _parts(effect: Deviation, kept: Trace) -> Iterator[str]:
    """Yield the parts of a trace that may tell where a deviation comes from.

    What is made ready at the start may be met later: data of another batch, or of an evaluation.
    """
    if effect.step <= 0 or effect.stage in ("data", "evaluation"):
        yield "start"
    if "evaluation" in kept.parts and effect.stage == "evaluation" and effect.step == kept.parts["evaluation"].step:
        yield "evaluation"


def _changed(operation: Operation, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    places = [*operation.places, *([operation.built] if operation.built else [])]
    for key in dict.fromkeys(key for place in places for key in place.constants):
        if key in before and before[key] != now[key]:
            yield key.rpartition(":")[2], before[key], now[key]


def _shown(rows: Sequence[Operation], kept: Operations) -> list[Operation]:
    """Return what a baseline would have kept of operations; what went into others that are left out goes on."""
    place: dict[int, int] = {}
    inputs: list[set[int]] = []
    shown: list[Operation] = []
    for index, row in enumerate(rows):
        inputs.append({place[one] for one in row.inputs if one in place})
        inputs[-1] |= {each for one in row.inputs if one not in place for each in inputs[one]}
        if kept.backward or not row.backward:
            place[index] = len(shown)
            shown.append(Operation(row.name, row.number, tuple(inputs[-1]), row.places, row.built, row.backward))
    return shown[: len(kept.names)] if kept.cut else shown


class _Match:
    """Rows of two traces, matched."""

    def __init__(self, before: Operations, rows: Sequence[Operation], close: float) -> None:
        self._before, self._rows, self._close = before, rows, close
        names = [row.name for row in rows]
        self._blocks = SequenceMatcher(None, before.names, names, autojunk=False).get_opcodes()
        self._pairs = {
            now + i: old + i for tag, old, end, now, _ in self._blocks if tag == "equal" for i in range(end - old)
        }
        self._equal = {
            now: old for now, old in self._pairs.items() if _are_close(before.numbers[old], rows[now].number, close)
        }
        matched = set(self._equal.values())
        left = [pair for old, pair in enumerate(zip(before.names, before.numbers, strict=True)) if old not in matched]
        self._numbers = sorted(number for _, number in left if _is_telling(number))
        self._others = {pair for pair in left if not _is_telling(pair[1])}
        self._new = {now for now, row in enumerate(rows) if now not in self._equal and not self._is_known(row)}

    def first(self) -> tuple[Operation, str, float | None] | None:
        """Return the first new result of known ones that matters, and the baseline's operation and number there.

        One that did not in its pass does if something that does is made of it later: of other parts of it, say.
        """
        sources: dict[int, int] = {}  # of results that did not matter
        for now, row in enumerate(self._rows):
            if now in self._new and not self._new.intersection(row.inputs):
                made, matters = self._made_of(now)
                source = next((sources[each] for each in row.inputs if each in sources), now)
                if matters:
                    return self._rows[source], *self._other(source)
                self._new -= made
                sources |= dict.fromkeys(made, source)
        return None

    def gone(self) -> tuple[Operation, str, float | None] | None:
        """Return the operation behind the first of the baseline's whose result is nowhere any more."""
        present = sorted(row.number for row in self._rows)
        for tag, old, stop, start, _ in self._blocks:
            for gone in range(old, stop if tag == "delete" else old):
                number = self._before.numbers[gone]
                if self._rows and _is_telling(number) and not _holds(present, number, self._close):
                    return self._rows[min(start, len(self._rows) - 1)], self._before.names[gone], None
        return None

    def _made_of(self, start: int) -> tuple[set[int], bool]:
        """Return the new results that are made of one in its pass, forward or backward, and whether they matter.

        They do if they stand in the place of others and not all of them end in what is known.
        """
        made, used, rejoined = {start}, set[int](), set[int]()
        for now in takewhile(
            lambda now: self._rows[now].backward == self._rows[start].backward, range(start, len(self._rows))
        ):
            if sources := made.intersection(self._rows[now].inputs):
                if now in self._new:
                    made.add(now)
                    used |= sources
                elif _is_telling(
                    self._rows[now].number
                ):  # not `ones_like`, say, which is the same of whatever it is of
                    rejoined |= sources
        return made, any(map(self._replaces, made)) and not made - used <= rejoined

    def _replaces(self, now: int) -> bool:
        """Tell whether a new result stands in the place of one of the baseline."""
        return now in self._pairs or any(
            tag == "replace" and start <= now < end for tag, _, _, start, end in self._blocks
        )

    def _other(self, now: int) -> tuple[str, float | None]:
        """Return the baseline's operation in a row's place: itself, one that is no more, or one that stood there."""
        block = next(index for index, (_, _, _, start, end) in enumerate(self._blocks) if start <= now < end)
        tag, old, stop, start, _ = self._blocks[block]
        if tag == "equal" and now == start and block and self._blocks[block - 1][0] == "delete":
            return self._before.names[self._blocks[block - 1][1]], None
        if tag == "equal":
            return self._before.names[old + now - start], self._before.numbers[old + now - start]
        return self._before.names[min(old + now - start, stop - 1)] if tag == "replace" else "", None

    def _is_known(self, row: Operation) -> bool:
        """Tell whether a row of the baseline that is not matched has the same number, by any operation if it tells."""
        if not _is_telling(row.number):
            return (row.name, row.number) in self._others
        return _holds(self._numbers, row.number, self._close)


def _are_close(one: float, other: float, close: float) -> bool:
    return math.isclose(one, other, rel_tol=close) or (math.isnan(one) and math.isnan(other))


def _holds(numbers: Sequence[float], number: float, close: float) -> bool:
    """Tell whether ascending numbers hold one."""
    at = bisect_left(numbers, number)
    return any(_are_close(number, each, close) for each in numbers[max(0, at - 1) : at + 1])


def _is_telling(number: float) -> bool:
    """Tell whether a number is one that operations don't share by chance, as they do counts, zeros and ones."""
    return (number * 2**12) % 1 != 0
