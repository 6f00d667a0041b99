"""Rows of two traces, matched by the names of their operations: which results are new, and what stood in whose place.

A present row is paired with the baseline's of the same name in its place. Its result is known if its pair has the same
number, or else one of the baseline's rows that are left over: so code that computes the same by other operations ends
in what is known. All other results are new.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from msgspec import structs

from harness.explaining.traced import Operation
from harness.record.trace import Operations


class Block(NamedTuple):
    """Rows of the baseline, and the present ones in their place.

    Args:
        tag: "equal" if they are paired, one by one; "replace", "delete" or "insert".
        old: the first of the baseline's.
        old_end: the one behind the last.
        now: the first of the present ones.
        now_end: the one behind the last.
    """

    tag: str
    old: int
    old_end: int
    now: int
    now_end: int


class Matched:
    """Rows of two traces, matched.

    Args:
        before: the baseline's.
        rows: the present ones.
        close: relative difference up to which two numbers are one.
    """

    def __init__(self, before: Operations, rows: Sequence[Operation], close: float) -> None:
        self.before, self.rows, self._close = before, rows, close
        matcher = SequenceMatcher(None, before.names, [row.name for row in rows], autojunk=False)
        self.blocks = [Block(*code) for code in matcher.get_opcodes()]
        self._places = [at for at, block in enumerate(self.blocks) for _ in range(block.now, block.now_end)]
        self.new = self._find_new()

    def pair(self, now: int) -> int | None:
        """Return the baseline's row of the same name in a row's place."""
        block = self._block(now)
        return block.old + now - block.now if block.tag == "equal" else None

    def replaces(self, now: int) -> bool:
        """Tell whether a row stands in the place of one of the baseline."""
        return self._block(now).tag != "insert"

    def gap(self, now: int) -> str:
        """Return the first operation of the baseline that is gone right before a paired row; empty if none is."""
        before = self.blocks[max(0, self._places[now] - 1)]
        is_behind = before.tag == "delete" and before.now_end == now
        return self.before.names[before.old] if is_behind else ""

    def cut(self, now: int) -> str:
        """Return the first operation of the baseline that is gone right behind a paired one; empty if none is."""
        own, block = (self.rows[now].name, self.rows[now].inputs), self._block(now)
        last = now  # of its results
        while last + 1 < len(self.rows) and (self.rows[last + 1].name, self.rows[last + 1].inputs) == own:
            last += 1
        behind = self.blocks[min(self._places[now] + 1, len(self.blocks) - 1)]
        is_cut = block.tag == "equal" and (behind.tag, behind.now) == ("delete", last + 1)
        return self.before.names[behind.old] if is_cut else ""

    def place(self, now: int) -> tuple[str, float | None]:
        """Return what stood in a row's place: its pair and that one's number, or another operation, or none."""
        block, pair = self._block(now), self.pair(now)
        if pair is not None:
            return self.before.names[pair], self.before.numbers[pair]
        if block.tag == "insert":
            return "", None
        return self.before.names[min(block.old + now - block.now, block.old_end - 1)], None

    def _block(self, now: int) -> Block:
        return self.blocks[self._places[now]]

    def _find_new(self) -> set[int]:
        pairs = {now: self.pair(now) for now in range(len(self.rows))}
        same = {now: old for now, old in pairs.items() if old is not None and self._are_close(old, now)}
        known = _Known(self.before, set(same.values()), self._close)
        return {now for now, row in enumerate(self.rows) if now not in same and not known.holds(row)}

    def _are_close(self, old: int, now: int) -> bool:
        return are_close(self.before.numbers[old], self.rows[now].number, self._close)


class _Known:
    """Results of the baseline that no present one has by its pair."""

    def __init__(self, before: Operations, found: set[int], close: float) -> None:
        pairs = enumerate(zip(before.names, before.numbers, strict=True))
        left = [pair for old, pair in pairs if old not in found]
        self._numbers = sorted(number for _, number in left if is_telling(number))
        self._others = {pair for pair in left if not is_telling(pair[1])}
        self._close = close

    def holds(self, row: Operation) -> bool:
        """Tell whether one has a row's number: of any operation if the number is telling, or else of the same."""
        if is_telling(row.number):
            return holds(self._numbers, row.number, self._close)
        return (row.name, row.number) in self._others


def without(rows: Sequence[Operation], is_out: Callable[[Operation], bool]) -> list[Operation]:
    """Return operations without some; what went into others that are left out goes on."""
    place = {index: at for at, index in enumerate(index for index, row in enumerate(rows) if not is_out(row))}
    inputs: list[set[int]] = []
    for index, row in enumerate(rows):
        inputs.append({place[one] for one in row.inputs if one in place})
        inputs[-1] |= {each for one in row.inputs if one not in place and one < index for each in inputs[one]}
    return [structs.replace(rows[index], inputs=tuple(inputs[index])) for index in place]


def are_close(one: float, other: float, close: float) -> bool:
    """Tell whether two numbers are one."""
    return math.isclose(one, other, rel_tol=close) or (math.isnan(one) and math.isnan(other))


def holds(numbers: Sequence[float], number: float, close: float) -> bool:
    """Tell whether ascending numbers hold one."""
    at = bisect_left(numbers, number)
    return any(are_close(number, each, close) for each in numbers[max(0, at - 1) : at + 1])


def is_telling(number: float) -> bool:
    """Tell whether a number is one that operations don't share by chance, as they do counts, zeros and ones."""
    return (number * 2**12) % 1 != 0
