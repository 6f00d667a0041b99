"""Where a training leaves its baseline: the first operation whose result is new although what went into it is not.

Rows of two traces are matched by the names of their operations. A result is known if the baseline has the same number
in the matched row, or in one that matches none: so code that computes the same by other operations ends in what is
known. A new result that is made of known ones alone is where something differs; it counts if results of the baseline
are gone for it, and if not all that is made of it is known again: then the first is told of what does not come back.
No place is told that comes later than what differs first: of data, say, none behind the call of the model. A new draw
of random numbers always counts: whatever is drawn after it is another number, even if it is used for nothing itself.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import takewhile

from msgspec import structs

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.explaining.traced import BUILT, GIVEN, Operation, Traced, is_returned, step_name
from harness.record import Record
from harness.record.trace import Operations, Trace


_SHIPPED = "harness/shipped/"
_BEFORE = ("structure", "data", "init", "schedule")
"""Stages that are settled before a step runs a model."""
_CLOSE = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 1e-2}
"""Relative difference up to which two numbers of a precision are one: far above rounding within the first step."""


@dataclass(frozen=True)
class Where:
    """The first operation that differs.

    Args:
        operation: the present one.
        baseline: name of the one in its place; empty if there is none.
        gone: whether it is the baseline's that is missing, beside the present one, which is as it was.
        number: that of the baseline's, if the operation is the same.
        constants: (name, former, present) of plain values of modules that its lines name, and that are others now.
        returned: the first value that a function of the project returned before, and that is another now, and its
            former number: it may be why the operation gives another number.
    """

    operation: Operation
    baseline: str
    gone: bool
    number: float | None
    constants: tuple[tuple[str, str, str], ...]
    returned: tuple[Operation, float] | None

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
    found = _built(comparison, traced) or _found(comparison, effect, kept, traced)
    if found is None or not found.operation.places:
        return None
    if comparison.recipe and found.line.startswith(_SHIPPED):  # our loop does what another recipe says
        return None
    return replace(found, constants=tuple(_changed(found.operation, kept.constants, traced.constants)))


def unknown(comparison: Comparison, traced: Traced) -> str:
    """Say why no line is told, if that is plain."""
    kept, effect = comparison.baseline.trace, next(iter(comparison.deviations), None)
    if not (kept and effect) or comparison.recipe or _release(kept.torch) != _release(traced.torch):
        return traced.error
    if not traced.error and not [*_parts(effect, kept)]:
        return "operations are kept of the first step and the first evaluation"
    return traced.error or "no operation of torch differs before the batch" * _is_early(effect)


def compared_parts(comparison: Comparison, traced: Traced) -> list[str]:
    """Return the names of the parts of a trace that may tell where a training leaves its baseline, in order."""
    kept, effect = comparison.baseline.trace, next(iter(comparison.deviations), None)
    return [name for name in _parts(effect, kept) if name in traced.parts] if kept and effect else []


def _is_early(effect: Deviation) -> bool:
    """Tell whether something differs before the first step runs a model."""
    return effect.step <= 0 and effect.stage in _BEFORE


def _is_asked(effect: Deviation, kept: Trace) -> bool:
    """Tell whether the step in which something differs was traced for it."""
    return effect.step > 0 and step_name(effect.step) in kept.parts


def _built(comparison: Comparison, traced: Traced) -> Where | None:
    """Return the line that built the optimizer whose settings are others from the start."""
    first = comparison.first
    if traced.built is None or first is None or first.stream.kind != "setting" or first.step > 0:
        return None
    return Where(Operation(BUILT, 0.0, (), (traced.built,), None, False), "", False, None, (), None)


def _found(comparison: Comparison, effect: Deviation, kept: Trace, traced: Traced) -> Where | None:
    """Return the first operation that differs, or else the first value that a function returned, if that is early."""
    names = [name for name in _parts(effect, kept) if name in kept.parts and name in traced.parts]
    close, matches = _CLOSE[comparison.record.precision], []
    for name in names:
        old, rows = kept.parts[name], _shown(traced.parts[name].operations, kept.parts[name])
        if _is_early(effect) and effect.stage != "schedule":
            calls = effect.moment.batch if effect.stage == "data" else 0
            end = _call(old.names, calls)
            old = replace(old, names=old.names[:end], numbers=old.numbers[:end])
            rows = rows[: _call([row.name for row in rows], calls)]
        matches.append(_Match(old, rows, close))
    is_settled = _is_early(effect) or (_is_asked(effect, kept) and effect.stage in _BEFORE)
    tries = [match.first for match in matches] * (effect.stage != "schedule")
    tries += [match.returned for match in matches] if is_settled else [match.gone for match in matches[-1:]]
    return next((place for call in tries if (place := call())), None)


def _call(names: Sequence[str], index: int) -> int:
    """Return where a model is called the next time after so many calls; the end if it is not."""
    calls = [at for at, name in enumerate(names) if name == GIVEN]
    return calls[index] if index < len(calls) else len(names)


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
    if _is_asked(effect, kept):
        is_known = effect.step == 1 and effect.stage in ("data", "evaluation")
        yield from [] if is_known else [step_name(effect.step - 1)]
        yield from [] if effect.stage == "data" else [step_name(effect.step)]


def _changed(operation: Operation, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    places = [*operation.places, *([operation.built] if operation.built else [])]
    for key in dict.fromkeys(key for place in places for key in place.constants):
        if key in before and before[key] != now[key]:
            yield key.rpartition(":")[2], before[key], now[key]


def _shown(rows: Sequence[Operation], kept: Operations) -> list[Operation]:
    """Return what a baseline would have kept of operations."""
    shown = _without(rows, lambda row: row.backward and not kept.backward)
    return shown[: len(kept.names)] if kept.cut else shown


def _without(rows: Sequence[Operation], is_out: Callable[[Operation], bool]) -> list[Operation]:
    """Return operations without some; what went into others that are left out goes on."""
    place: dict[int, int] = {}
    inputs: list[set[int]] = []
    shown: list[Operation] = []
    for index, row in enumerate(rows):
        inputs.append({place[one] for one in row.inputs if one in place})
        inputs[-1] |= {each for one in row.inputs if one not in place for each in inputs[one]}
        if not is_out(row):
            place[index] = len(shown)
            shown.append(structs.replace(row, inputs=tuple(inputs[-1])))
    return shown


class _Match:
    """Rows of two traces, matched."""

    def __init__(self, kept: Operations, shown: Sequence[Operation], close: float) -> None:
        self._kept, self._shown, self._close = kept, shown, close
        old = [row for row in zip(kept.names, kept.numbers, strict=True) if not is_returned(row[0])]
        before = replace(kept, names=[name for name, _ in old], numbers=[number for _, number in old])
        rows = _without(shown, lambda row: is_returned(row.name))
        self._before, self._rows = before, rows
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

    def first(self) -> Where | None:
        """Return the first new result of known ones that matters.

        One that did not in its pass does if something that does is made of it later: of other parts of it, say.
        """
        sources: dict[int, int] = {}  # of results that did not matter
        for now, row in enumerate(self._rows):
            if now in self._new and not self._new.intersection(row.inputs):
                made, lost = self._made_of(now)
                source = next((sources[each] for each in row.inputs if each in sources), now if lost is None else lost)
                if row.draws or lost is not None:
                    return self._differs(source)
                self._new -= made
                sources |= dict.fromkeys(made, source)
        return None

    def gone(self) -> Where | None:
        """Return the operation beside the first of the baseline's whose result is nowhere any more.

        It is the one in its place, if that is the same operation, of what came later; or the one behind the gap.
        """
        present = sorted(row.number for row in self._rows)
        for tag, old, stop, start, end in self._blocks:
            for gone in range(old, stop if self._rows and tag != "replace" else old):
                number = self._before.numbers[gone]
                if _is_telling(number) and not _holds(present, number, self._close):
                    beside = self._rows[min(start + gone - old, max(start, end - 1), len(self._rows) - 1)]
                    return Where(beside, self._before.names[gone], True, None, (), None)
        return None

    def returned(self) -> Where | None:
        """Return the first value that is new of a function."""
        found = self._returned(None)
        return Where(found[0], "", False, found[1], (), None) if found else None

    def _differs(self, now: int) -> Where:
        other, number = self._other(now)
        if number is None and self._is_behind_gap(now):
            beside = self._beside_gap(now, other)
            return Where(self._rows[beside], other, beside != now, None, (), None)
        returned = None if number is None else self._returned(self._rows[now])
        return Where(self._rows[now], other, False, number, (), returned)

    def _is_behind_gap(self, now: int) -> bool:
        """Tell whether operations of the baseline are gone before a matched one."""
        return any(tag == "delete" and start == now and now in self._pairs for tag, _, _, start, _ in self._blocks)

    def _beside_gap(self, now: int, gone: str) -> int:
        """Return what is nearest to the line that a gone operation stood in.

        It is where that operation is called now, or the one behind the gap, or, if it is a function's first and so the
        gone one more likely the last of another function, the one before.
        """
        before = max(0, now - 1)
        around = {self._function(before), self._function(now)}
        others = (at for at, row in enumerate(self._rows) if row.name == gone and at not in self._pairs)
        moved = [at for at in others if self._function(at) in around]
        if moved:
            return min(moved, key=lambda at: abs(at - now))
        is_told = self._rows[now].backward or self._function(before) in ((), self._function(now))
        return now if is_told else before

    def _function(self, now: int) -> tuple[str, ...]:
        """Return file and function of the line of a row."""
        return next(((place.file, place.function) for place in self._rows[now].places), ())

    def _returned(self, operation: Operation | None) -> tuple[Operation, float] | None:
        """Return the first value before an operation that is new of its function, and what the baseline has of that.

        A function may be called more or less often, since what it returns may be kept; then any of its values is known.
        One that was given something new is passed over: what it returns is an effect.
        """
        fed = set[str]()
        former: dict[str, list[float]] = defaultdict(list)
        for name, number in zip(self._kept.names, self._kept.numbers, strict=True):
            former[name] += [number] * is_returned(name)
        calls, all_calls = Counter[str](), Counter(row.name for row in self._shown)
        until = operation and (operation.name, operation.number)
        for row in takewhile(lambda row: (row.name, row.number) != until, self._shown):
            numbers, call = former[row.name], calls[row.name]
            known = numbers[call:][:1] if len(numbers) == all_calls[row.name] else numbers
            if known and not any(_are_close(number, row.number, self._close) for number in known):
                function = row.name.rpartition("(")[0]
                if row.name.endswith("()") and function not in fed:
                    return row, numbers[min(call, len(numbers) - 1)]
                fed.add(function)
            calls[row.name] += 1
        return None

    def _made_of(self, start: int) -> tuple[set[int], int | None]:
        """Return the new results that are made of one in its pass, forward or backward, and the first that matters.

        None does if they stand in the place of no others, or all end in what is known. If some do, of code that is
        written otherwise in one function, the first is told of those that don't.
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
        if not any(map(self._replaces, made)) or made - used <= rejoined:
            return made, None
        for now in sorted(made, reverse=True):
            if now in rejoined:
                rejoined |= made.intersection(self._rows[now].inputs)
        lost = min(made - rejoined)
        by_hand = start not in self._pairs and self._function(lost) == self._function(start)
        return made, lost if by_hand else start

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
