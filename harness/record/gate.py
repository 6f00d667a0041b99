"""A gate that its test loosens: what is not compared, what may part further, and which NaN is expected."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from harness.errors import ArgumentError, SuiteError


if TYPE_CHECKING:
    from harness.record.record import Record


LOOSEST = 0.1
"""Rounding explains nothing beyond this where another training showed it, or where nothing is judged: a tolerance of
half as much on losses, which Megatron-LM has, catches 6 of 65 one-line faults. Nor may a test allow more."""
_OWNER = "training_regression.check"
_TRAINED = ("forward", "backward", "update")
"""Stages that make a training: somewhere in them, something must be compared."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a test lets go; the default is nothing. Patterns, as in file names, are of streams' names."""

    ignore: tuple[str, ...] = ()  # not compared
    thresholds: Mapping[str, Annotated[float, Meta(ge=0, le=LOOSEST)]] = {}  # where rounding explains less
    allow_nonfinite: tuple[str, ...] = ()  # NaN and infinity equal those of the baseline
    reason: str = ""  # why, given when a baseline is first written with it

    def __bool__(self) -> bool:
        return bool(self.ignore or self.thresholds or self.allow_nonfinite)

    @property
    def needs_reason(self) -> bool:
        """Whether something goes unseen: of NaN that is expected, nothing does."""
        return bool(self.ignore or self.thresholds)

    def asks_for(self, other: "Gate") -> bool:
        """Tell whether another lets the same go, for whatever reason."""
        return msgspec.structs.replace(self, reason=other.reason) == other

    def allowed(self, name: str) -> float:
        """Return the largest threshold that a stream is given; 0.0 if none is."""
        return max((size for pattern, size in self.thresholds.items() if fits(name, [pattern])), default=0.0)


STRICT = Gate()


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a stream's name fits a pattern, or is one: `logits[0]` does not fit itself."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def asked(ignore: object, thresholds: object, allow_nonfinite: object) -> Gate:
    """Return the gate that the arguments of a check ask for.

    Raises:
        ArgumentError: one is not what it has to be.
    """
    return Gate(
        ignore=_patterns("ignore", ignore),
        thresholds=_sizes(thresholds),
        allow_nonfinite=_patterns("allow_nonfinite", ["*"] if allow_nonfinite is True else allow_nonfinite or []),
    )


def _patterns(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Collection) or not all(isinstance(each, str) for each in value):
        rule = "a list of names of streams, or patterns of some: ['evaluation/*']"
        raise ArgumentError.of(_OWNER, field, value, rule)
    return tuple(sorted({*value}))


def _sizes(given: object) -> dict[str, float]:
    if not isinstance(given, Mapping) or not all(isinstance(key, str) and _is_size(given[key]) for key in given):
        rule = f"names of streams, or patterns of some, to how far they may part, 0 to {LOOSEST:g}: {{'loss': 1e-6}}"
        raise ArgumentError.of(_OWNER, "thresholds", given, rule)
    return {pattern: float(given[pattern]) for pattern in sorted(given)}


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LOOSEST


def require_at_work(gate: Gate, record: "Record", nodeid: str) -> None:
    """Refuse what lets nothing go, since it is misspelt, or everything.

    Raises:
        SuiteError: a pattern fits no stream, or those to ignore fit all that the training did.
    """
    judged = [*record.streams]
    named = {"ignore": [*judged, *record.clues], "thresholds": judged, "allow_nonfinite": judged}
    for argument, names in named.items():
        for pattern in getattr(gate, argument):
            if not any(fits(name, [pattern]) for name in names):
                near = get_close_matches(pattern, names) or names
                raise SuiteError.idle_pattern(nodeid=nodeid, argument=argument, pattern=pattern, near=near)
    trained = [key for key, stream in record.streams.items() if stream.stage in _TRAINED] or judged
    if gate.ignore and all(fits(key, gate.ignore) for key in trained):
        raise SuiteError.nothing_judged(nodeid=nodeid)
