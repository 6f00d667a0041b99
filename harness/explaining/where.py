"""Where a training leaves its baseline: the first operation whose result is new although what went into it is not.

The rows of the two traces are matched (`matched.py`), which tells new results from known ones. Then the present trace
is read from its start. A new result that is made of known ones alone is where something differs. Everything new that
is made of it, in the same pass, is its wake: it matters if results of the baseline are gone for it, and if not all of
it ends in what is known again; then the first is told of what does not come back. A new draw of random numbers always
matters: whatever is drawn after it is another number, even if it is used for nothing itself. No place is told that
comes later than what differs first: of data, say, none behind the call of the model.

Where no operation tells, the first value does that a function of the project returned and that is another now, or the
operation beside one of the baseline's whose result is nowhere any more.
"""

import ast
import contextlib
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from harness.comparing.comparison import Comparison
from harness.comparing.deviations import Deviation
from harness.explaining.matched import Matched, are_close, holds, is_telling, without
from harness.explaining.silent_calls import first_other, is_aside
from harness.explaining.traced import (
    BATCH,
    GIVEN,
    Built,
    Operation,
    Place,
    Traced,
    folded,
    is_returned,
    is_seed,
    step_name,
)
from harness.record import Record, StreamKey
from harness.record.trace import Operations


_SHIPPED = "harness/shipped/"
_BEFORE = ("structure", "data", "init", "schedule")
"""Stages that are settled before a step runs a model."""
_CLOSE = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 1e-2}
"""Relative difference up to which two numbers of a precision are one: far above rounding within the first step."""
_SHARE = 1e-3
"""Of what differs at first: where both trainings ran on one machine, numbers that are closer are one."""


_ARGUMENTS = {
    "sampler": ("shuffle", "sampler", "batch_sampler"),
    "workers": ("num_workers",),
    "start_method": ("multiprocessing_context",),
}
"""Of a data loader: what sets what is noted of it, where that has another name."""
_CALLS = {"mode": (".train", ".eval"), "backward": (".zero_grad", ".detach"), "schedule": (".step",)}
"""Kinds of streams and stages, and the calls that make what is in them."""
_SAID = re.compile(r"(\w+)=([^,()]*)")
"""A part of what a module says of itself."""


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
        part: name of the part of the trace that it ran in; empty if a line stands for what is another.
    """

    operation: Operation
    baseline: str
    gone: bool
    number: float | None
    constants: tuple[tuple[str, str, str], ...]
    returned: tuple[Operation, float] | None
    part: str = ""

    @property
    def line(self) -> str:
        """File and line: `models/net.py:42`."""
        place = self.operation.places[0]
        return f"{place.file}:{place.line}"

    @property
    def places(self) -> tuple[Place, ...]:
        """All lines that it has to do with: the operation's, who built what it ran in, the one of the value before."""
        built, returned = self.operation.built, self.returned[0].places if self.returned else ()
        return (*self.operation.places, *([built] if built else []), *returned)


def where(comparison: Comparison, traced: Traced, *, is_here: bool = False) -> Where | None:
    """Return the operation from which on a training differs from its baseline; None if the traces don't tell.

    Args:
        comparison: that differs.
        traced: the present training.
        is_here: whether the baseline's was trained and traced on this machine, too.
    """
    kept, effect = comparison.baseline.trace, next(iter(comparison.deviations), None)
    if not (kept and effect) or _release(kept.torch) != _release(traced.torch):
        return None
    found = next(filter(None, (way(comparison, traced) for way in _WAYS)), None)
    found = found or _found(comparison, effect, traced, _close(comparison, effect, is_here))
    found = _made(comparison, traced, found) or found or _of_constant(kept.constants, traced)
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
    if not traced.error and (effect.step == 1 or not [*_parts(comparison, effect)]):
        return "operations are kept of the first step and the first evaluation"
    if not traced.error and _is_early(effect) and any(part.cut for part in kept.parts.values()):
        return "of so many operations the baseline keeps a part"
    return traced.error or "no operation of torch differs before the batch" * _is_early(effect)


def compared_parts(comparison: Comparison, traced: Traced) -> list[str]:
    """Return the names of the parts of a trace that may tell where a training leaves its baseline, in order."""
    effect = next(iter(comparison.deviations), None)
    return [name for name in _parts(comparison, effect) if name in traced.parts] if effect else []


def _close(comparison: Comparison, effect: Deviation, is_here: bool) -> float:
    """Return the relative difference up to which two numbers are one."""
    at_first = (each.size for each in comparison.deviations if is_here and each.step == effect.step)
    return min(_CLOSE[comparison.record.precision], _SHARE * max(filter(math.isfinite, at_first), default=math.inf))


def is_given(comparison: Comparison) -> bool:
    """Tell whether a model is not what made the first difference: it is of what was made ready, or of a batch."""
    return any(each.stage == "data" or _is_early(each) for each in comparison.deviations[:1])


def _is_early(effect: Deviation) -> bool:
    """Tell whether something differs before the first step runs a model."""
    return effect.step <= 0 and effect.stage in _BEFORE


def _is_asked(comparison: Comparison, effect: Deviation) -> bool:
    """Tell whether the step in which something differs was traced for it."""
    kept = comparison.baseline.trace
    return effect.step > 0 and kept is not None and step_name(effect.step) in kept.parts


def _loaded(comparison: Comparison, traced: Traced) -> Where | None:
    """Return the line that built a data loader of other settings."""
    first = comparison.first
    if first is None or first.value is None or first.stream.kind != "loader":
        return None
    loader = traced.built.get(f"loader/{first.stream.tensor}")
    names = _ARGUMENTS.get(first.stream.entry, (first.stream.entry,))
    return _standing("builds the data loader that samples otherwise", loader.at(names)) if loader else None


def _set_up(comparison: Comparison, traced: Traced) -> Where | None:
    """Return the line that built the optimizer whose settings are others from the start."""
    first = comparison.first
    if first is None or first.value is None or first.step > 0 or not _is_built_in(first.stream, comparison.record):
        return None
    built = _optimizer(traced, first.stream.tensor)
    names = ("lr",) if first.stream.entry in ("", "initial_lr") else (first.stream.entry,)
    return _standing("builds the optimizer whose settings are others", built.at(names)) if built else None


def _grouped(comparison: Comparison, traced: Traced) -> Where | None:
    """Return the line that built the optimizer which holds a tensor in another group."""
    first = comparison.first
    if first is None or not (isinstance(first.baseline, Mapping) and isinstance(first.value, Mapping)):
        return None
    group = first.value.get("group")
    if first.baseline.get("group") == group:
        return None
    built = _optimizer(traced, str(group))
    return _standing("builds the optimizer that holds it in another group", built.places) if built else None


def _optimizer(traced: Traced, group: str) -> Built | None:
    """Return who built the optimizer of a group; the only one may be all: of groups that are others now, too."""
    known = {name: built for name, built in traced.built.items() if name.startswith("setting/")}
    builts = {*known.values()}
    return known.get(f"setting/{group}") or (builts.pop() if len(builts) == 1 else None)


def _scheduled(comparison: Comparison, traced: Traced) -> Where | None:
    """Return the line that built a schedule with other settings, where a rate is another."""
    kept, first = comparison.baseline.trace, comparison.first
    if not (kept and first) or first.stream.kind != "learning_rate":
        return None
    for built in traced.schedules:
        if changed := [*_changes(built.places, kept.constants, traced.constants)]:
            return _standing(
                "builds the schedule whose settings are others", built.at([name for name, _, _ in changed])
            )
    return None


def _made(comparison: Comparison, traced: Traced, found: Where | None) -> Where | None:
    """Return the line that built a module with other settings; None if an operation in it is known."""
    first = comparison.first
    if first is None or first.stream.kind != "module" or None in (first.baseline, first.value):
        return None
    built = traced.built.get(f"module/{first.stream.tensor}")
    before, now = said(first.baseline), said(first.value)
    if built is None or before == now or (found and _ran_in(found, built)):
        return None
    return _standing("builds the module whose settings are others", built.at(dict(before.items() ^ now.items())))


def said(module: object) -> dict[str, str]:
    """Return what a module says of itself, by name."""
    return dict(_SAID.findall(str(module)))


def _ran_in(found: Where, built: Built) -> bool:
    """Tell whether an operation ran in what was built, or was asked for by who built it."""
    return built.places[0] in (found.operation.built, *found.operation.places)


def _called(comparison: Comparison, traced: Traced) -> Where | None:
    """Return a call that is made more or less often, of those that make what differs: a mode, gradients, a rate."""
    kept, first = comparison.baseline.trace, comparison.first
    if not (kept and first):
        return None
    is_logged = first.stage == "forward" and first.step > 0  # the norm of gradients, perhaps
    names = _CALLS.get(first.stream.kind) or _CALLS.get("backward" if is_logged else first.stage)
    if not names:
        return None
    for part in (name for name in kept.parts if name in traced.parts):
        rows = _shown(traced.parts[part].operations, kept.parts[part])
        if found := first_other(kept.parts[part], rows, names):
            return Where(found[0], found[1], bool(found[1]), None, (), None, part)
    return None


_WAYS = (_loaded, _set_up, _grouped, _scheduled, _called)
"""What is asked before operations are: each knows one kind of what may differ first."""


def _of_constant(before: Mapping[str, str], traced: Traced) -> Where | None:
    """Return the first line that names the one constant which is another now; None if several are."""
    changed = [name for name, text in before.items() if traced.constants.get(name, text) != text]
    changed = [name for name in changed if not any(each.startswith(f"{name}[") for each in changed)]  # but its entries
    rows = itertools.chain.from_iterable(part.operations for part in traced.parts.values())
    places = (place for row in rows for place in row.places if {*changed} & {*place.constants})
    place = next(places, None) if len(changed) == 1 else None
    return _standing("names a constant that is another", (place,)) if place else None


def _standing(what: str, places: tuple[Place, ...]) -> Where:
    """Return a line that says what is another, in the place of an operation."""
    return Where(Operation(what, 0.0, (), places, None, False), "", False, None, (), None)


def _is_built_in(stream: StreamKey, record: Record) -> bool:
    """Tell whether an optimizer is built with a value: a setting, or a rate that stays, as no schedule's does."""
    rates = record.streams.find(stream) if stream.kind == "learning_rate" else None
    return stream.kind == "setting" or (rates is not None and len({*rates.values}) == 1)


def _found(comparison: Comparison, effect: Deviation, traced: Traced, close: float) -> Where | None:
    """Return the first operation that differs, or else the first value that a function returned, if that is early."""
    kept = comparison.baseline.trace
    assert kept, "a baseline without a trace tells nothing"
    names = [name for name in _parts(comparison, effect) if name in kept.parts and name in traced.parts]
    end = _settled(effect)
    whole = {name: (kept.parts[name], _shown(traced.parts[name].operations, kept.parts[name])) for name in names}
    searches = {name: _Search(*_until(end, *rows), close) for name, rows in whole.items()}
    is_settled = _is_early(effect) or (_is_asked(comparison, effect) and effect.stage in _BEFORE)
    tries: list[tuple[str, Callable[[], Where | None]]] = []
    if effect.stage == "backward":  # the loss is what it was as it was logged
        tries += [(name, search.gone_behind_loss) for name, search in searches.items()]
    if effect.stage != "schedule":
        tries += [(name, search.first) for name, search in searches.items()]
    if is_settled:
        tries += [(name, search.returned) for name, search in searches.items()]
    if end is not None:  # what was added matters by what is made of it in the model
        ends = {name: len(search.rows) for name, search in searches.items()}
        tries += [(name, partial(_Search(*rows, close).first, ends[name])) for name, rows in whole.items()]
    elif not is_settled:
        tries += [(name, searches[name].gone) for name in names[-1:]]
    return next((replace(place, part=name) for name, call in tries if (place := call())), None)


def _settled(effect: Deviation) -> tuple[str, int] | None:
    """Return by which row what differs was settled: a name, and after how many of it; None if all rows may tell."""
    if not _is_early(effect) or effect.stage == "schedule":
        return None
    return (BATCH, effect.moment.batch) if effect.stage == "data" else (GIVEN, 0)


def _until(end: tuple[str, int] | None, old: Operations, rows: list[Operation]) -> tuple[Operations, list[Operation]]:
    """Return the operations before a row; before the call of a model where no batch is noted; all, if it is None."""
    if end is None:
        return old, rows
    name, index = end
    names = [row.name for row in rows]
    name = name if name in old.names and name in names else GIVEN
    last = _place(old.names, name, index)
    old = replace(old, names=old.names[:last], numbers=old.numbers[:last])
    return old, rows[: _place(names, name, index)]


def _place(names: Sequence[str], name: str, index: int) -> int:
    """Return where a name stands the next time after so many; the end if it does not."""
    places = [at for at, each in enumerate(names) if each == name]
    return places[index] if index < len(places) else len(names)


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
            are_close(now, old, close) for (_, now), (_, old) in zip(stream.numbers(), known.numbers(), strict=False)
        )
        for known, stream in losses
    )


def _parts(comparison: Comparison, effect: Deviation) -> Iterator[str]:
    """Yield the parts of a trace that may tell where a deviation, or its cause of the step before, comes from.

    What is made ready at the start may be met later: data of another batch, or of an evaluation.
    """
    told = [effect, *([comparison.cause] if comparison.cause else [])]
    from_start = any(each.step <= 0 or each.stage in ("data", "evaluation") for each in told)
    if from_start or effect.step == 1:  # of what the first step left that nothing records
        yield "start"
    kept = comparison.baseline.trace
    evaluation = kept and kept.parts.get("evaluation")
    if evaluation and any(each.stage == "evaluation" and each.step == evaluation.step for each in told):
        yield "evaluation"
    if _is_asked(comparison, effect):
        yield from [] if effect.step == 1 else [step_name(effect.step - 1)]
        yield from [] if effect.stage == "data" else [step_name(effect.step)]


def _changed(operation: Operation, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    return _changes([*operation.places, *([operation.built] if operation.built else [])], before, now)


def _changes(
    places: Iterable[Place], before: Mapping[str, str], now: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield name, former and present value of the constants that places name; of a table the entries, each once."""
    found: dict[str, tuple[str, str]] = {}
    for key in dict.fromkeys(key for place in places for key in place.constants):
        if key in before and before[key] != now[key]:
            found |= _entries(key.rpartition(":")[2], before[key], now[key])
    yield from ((name, *texts) for name, texts in found.items())


def _entries(name: str, before: str, now: str) -> dict[str, tuple[str, str]]:
    """Return what of a value is another, by name: of tables with the same keys the entries."""
    old, new = _table(before), _table(now)
    is_entered = old.keys() == new.keys() and old != new
    pairs = {f"{name}[{key!r}]": (repr(old[key]), repr(new[key])) for key in old if is_entered and old[key] != new[key]}
    return pairs or {name: (before, now)}


def _table(text: str) -> dict[object, object]:
    """Return the table that a text is of; an empty one of other values."""
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        value = ast.literal_eval(text)
        return value if isinstance(value, dict) else {}
    return {}


def _shown(rows: Sequence[Operation], kept: Operations) -> list[Operation]:
    """Return what a baseline would have kept of operations."""
    shown = without(folded(rows, kept.of_a_line), lambda row: row.backward and not kept.backward)
    return shown[: len(kept.names)] if kept.cut else shown


class _Search:
    """Looks for where a part of a training leaves its baseline.

    Args:
        kept: the baseline's operations, and what functions returned.
        rows: the present ones.
        close: relative difference up to which two numbers are one.
    """

    def __init__(self, kept: Operations, rows: Sequence[Operation], close: float) -> None:
        old = [row for row in zip(kept.names, kept.numbers, strict=True) if not is_aside(row[0])]
        before = replace(kept, names=[name for name, _ in old], numbers=[number for _, number in old])
        self.rows = without(rows, lambda row: is_aside(row.name))
        self._matched, self._close = Matched(before, self.rows, close), close
        self._values = _Values(kept, rows, close)

    def first(self, end: int | None = None) -> Where | None:
        """Return the first new result of known ones that matters; if it is one of so many rows.

        One that did not in its pass does if something that does is made of it later: of other parts of it, say, or as
        it is differentiated.
        """
        new = set(self._matched.new)
        origins: dict[int, int] = {}  # of results that did not matter
        for now, row in enumerate(self.rows[:end]):
            if now in new and not new.intersection(row.inputs):
                wake = _Wake(self._matched, new, now)
                origin = next((origins[each] for each in self._sources(now, origins) if each in origins), wake.told)
                if row.draws or wake.matters:
                    return self._told(origin)
                new -= wake.made
                origins |= dict.fromkeys(wake.made, origin)
        return None

    def _sources(self, now: int, made: Iterable[int]) -> Iterator[int]:
        """Yield what went into a row, and of a backward pass those of `made` whose lines asked for its forward one."""
        row = self.rows[now]
        yield from row.inputs
        if row.backward:
            yield from (each for each in [*made] if self.rows[each].places == row.places)

    def gone(self) -> Where | None:
        """Return the operation beside the first of the baseline's whose result is nowhere any more.

        It is the one in its place, if that is the same operation, of what came later; or the one behind the gap.
        """
        before, present = self._matched.before, sorted(row.number for row in self.rows)
        for block in self._matched.blocks if self.rows else ():
            for gone in range(block.old, block.old_end if block.tag != "replace" else block.old):
                number = before.numbers[gone]
                if is_telling(number) and not holds(present, number, self._close):
                    beside = block.now + (gone - block.old) * (block.tag == "equal")
                    beside = min(beside, len(self.rows) - 1)
                    return Where(self.rows[beside], before.names[gone], True, None, (), None)
        return None

    def gone_behind_loss(self) -> Where | None:
        """Return what begins the backward pass of the first new result, if an operation is gone right before it."""
        new = begin = min(self._matched.new, default=0)
        while begin and self.rows[begin].backward:
            begin -= 1
        gone = self._matched.gap(begin) if begin < new else ""
        return Where(self.rows[begin], gone, True, None, (), None) if gone else None

    def returned(self) -> Where | None:
        """Return the first value that is new of a function."""
        found = self._values.first_new(None)
        return Where(found[0], "", False, found[1], (), None) if found else None

    def _told(self, now: int) -> Where:
        """Return a row as what differs, or what is beside the gap before it."""
        if gone := self._matched.gap(now):
            beside = self._beside_gap(now, gone)
            return Where(self.rows[beside], gone, beside != now, None, (), None)
        other, number = self._matched.place(now)
        for made in self.rows[now].inputs if number is not None else ():
            if gone := self._matched.cut(made):  # what was done to it before it went in
                moved = self._moved(gone, now, _functions(self.rows[now]))
                is_left = self.rows[made].backward and not self.rows[now].backward
                beside = self._beside_gap(now, gone) if is_left else made
                return Where(self.rows[beside if moved is None else moved], gone, True, None, (), None)
        returned = None if number is None else self._values.first_new(self.rows[now])
        if returned and is_seed(returned[0].name):
            return Where(returned[0], "", False, returned[1], (), None)
        return Where(self.rows[now], other, False, number, (), returned)

    def _beside_gap(self, now: int, gone: str) -> int:
        """Return what is nearest to the line that a gone operation stood in.

        It is where that operation is called now, or the one behind the gap, or, if it is a function's first and so the
        gone one more likely the last of another function, the one before; unless its line is the one that calls it. One
        of the backward pass is no neighbour: its line is elsewhere.
        """
        before = max(0, now - 1)
        last = () if self.rows[before].backward else _function(self.rows[before])
        first, *callers = _functions(self.rows[now]) or [()]
        if (moved := self._moved(gone, now, (last, first, *callers))) is not None:
            return moved
        is_called_there = _lines(self.rows[now])[1:2] == _lines(self.rows[before])[:1]
        return now if self.rows[now].backward or last in ((), first) or is_called_there else before

    def _moved(self, gone: str, now: int, functions: Container[tuple[str, ...]]) -> int | None:
        """Return where, nearest to a row, one of some functions asks for an operation that is gone elsewhere."""
        alike = (at for at, row in enumerate(self.rows) if row.name == gone and self._matched.pair(at) is None)
        asked = (at for at in alike if _function(self.rows[at]) in functions)
        return min(asked, key=lambda at: abs(at - now), default=None)


class _Wake:
    """What is made of a new result in its pass, forward or backward, and whether it matters.

    Args:
        matched: the rows.
        new: those whose results are new.
        start: the one that is made of known results.
    """

    def __init__(self, matched: Matched, new: set[int], start: int) -> None:
        self._matched, self._start = matched, start
        self.made = {start}
        self._used, self._rejoined = set[int](), set[int]()  # by what is new, by what is known
        for now in range(start, len(matched.rows)):
            row = matched.rows[now]
            if row.backward != matched.rows[start].backward:
                break
            if sources := self.made.intersection(row.inputs):
                self._follow(now, sources, now in new)

    def _follow(self, now: int, sources: set[int], is_new: bool) -> None:
        """Take up a row that is made of the wake."""
        if is_new:
            self.made.add(now)
            self._used |= sources
        elif is_telling(self._matched.rows[now].number):  # not `ones_like`, say, which is the same of whatever it is of
            self._rejoined |= sources

    @property
    def matters(self) -> bool:
        """Whether it stands in the place of something, and not all of it ends in what is known."""
        return any(map(self._matched.replaces, self.made)) and not self.made - self._used <= self._rejoined

    @property
    def told(self) -> int:
        """The row to tell: the start, or of code that is written otherwise in one function, what does not come back."""
        if not self.matters or self._matched.pair(self._start) is not None:
            return self._start
        rows, ends = self._matched.rows, set(self._rejoined)
        for now in sorted(self.made, reverse=True):
            if now in ends:
                ends |= self.made.intersection(rows[now].inputs)
        lost = min(self.made - ends)
        return lost if _function(rows[lost]) == _function(rows[self._start]) else self._start


class _Values:
    """What functions of the project returned, or were given, before and now.

    Args:
        kept: the baseline's rows.
        rows: the present ones.
        close: relative difference up to which two numbers are one.
    """

    def __init__(self, kept: Operations, rows: Sequence[Operation], close: float) -> None:
        self._rows, self._close = rows, close
        self._calls = Counter(row.name for row in rows)
        self._former: dict[str, list[float]] = defaultdict(list)
        for name, number in zip(kept.names, kept.numbers, strict=True):
            self._former[name] += [number] * is_returned(name)

    def first_new(self, until: Operation | None) -> tuple[Operation, float] | None:
        """Return the first value before an operation that is new of its function, and what the baseline has of that.

        A function that was given something new is passed over: what it returns is an effect.
        """
        fed, calls = set[str](), Counter[str]()
        end = until and (until.name, until.number)
        for row in takewhile(lambda row: (row.name, row.number) != end, self._rows):
            call, function = calls[row.name], row.name.rpartition("(")[0]
            if self._is_new(row, call):
                if row.name.endswith("()") and function not in fed:
                    former = self._former[row.name]
                    return row, former[min(call, len(former) - 1)]
                fed.add(function)
            calls[row.name] += 1
        return None

    def _is_new(self, row: Operation, call: int) -> bool:
        """Tell whether a value is none that the baseline has of that call.

        A function may be called more or less often, since what it returns may be kept; then any of its values is known.
        """
        former = self._former[row.name]
        known = former[call:][:1] if len(former) == self._calls[row.name] else former
        return bool(known) and not any(_is_value(number, row.number, self._close) for number in known)


def _is_value(one: float, other: float, close: float) -> bool:
    """Tell whether two values are one; whole numbers, such as seeds, are none if they are only close."""
    return one == other or (not (one % 1 == other % 1 == 0) and are_close(one, other, close))


def _lines(row: Operation) -> list[tuple[str, int]]:
    """Return file and line of a row, then of who calls the function itself, if that is known."""
    return [(place.file, place.line) for place in row.places[: 1 + any(place.direct for place in row.places[:1])]]


def _function(row: Operation) -> tuple[str, ...]:
    """Return file and function of the line of a row."""
    return next(iter(_functions(row)), ())


def _functions(row: Operation) -> list[tuple[str, ...]]:
    """Return file and function of the line of a row, and of those that had it run."""
    return [(place.file, place.function) for place in row.places]
