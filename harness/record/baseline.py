"""A baseline: a record, where it comes from, and what a sharp comparison with it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import msgspec

from harness.inert import inert_line
from harness.record.calibration import Calibration
from harness.record.gate import STRICT, Gate
from harness.record.record import Record
from harness.record.text import read_baseline
from harness.record.trace import Trace, trace_content


@dataclass(frozen=True, repr=False)
class Baseline:
    """What a training is held against.

    Args:
        record: what the training did when the baseline was made.
        origin: when, from which commit, with which libraries and why it was made; empty if it does not say.
        calibration: of a low-precision baseline with stored states.
        seeds: seed to metric to value, of a training that was run with several (`comparing.equivalence`).
        gate: what its test lets go.
        trace: of the training's operations; None where there is none.
        sources: the project's files that it was made from, path to content (`baselines.origin.content_name`).
    """

    record: Record
    origin: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None
    seeds: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    gate: Gate = STRICT
    trace: Trace | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        made = inert_line(self.origin.get("made", "at an unknown time"))
        return f"<Baseline made {made}: {self.record!r}>"

    @property
    def judged(self) -> Record:
        """The record, without what is not compared."""
        return self.record.without(self.gate.ignore)

    def to_text(self) -> str:
        """Return the baseline as a record's text with some parts more."""
        calibration = msgspec.to_builtins(self.calibration)
        seeds = {str(seed): dict(metrics) for seed, metrics in self.seeds.items()}
        beside = {"origin": dict(self.origin), "sources": dict(self.sources), "gate": msgspec.to_builtins(self.gate)}
        trace = trace_content(self.trace) if self.trace else None
        return self.record.to_text(**beside, calibration=calibration, seeds=seeds, trace=trace)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote, or a record's own text.

        Raises:
            RecordError: the text is no record, of another format version, or was edited (`reason` "checksum").
        """
        record, beside = read_baseline(text)
        return cls(Record(**record), **beside)
