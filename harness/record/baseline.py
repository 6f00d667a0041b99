"""A baseline: a record, where it comes from, and what a sharp comparison with it needs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from harness.record.record import Record
from harness.record.text import read_baseline, write_record


@dataclass(frozen=True)
class Calibration:
    """How far benign variants of a low-precision training part from it, measured when it became a baseline.

    Args:
        states: SHA-256 of the states that the variants, and later trainings, are put back on.
        steps: steps that begin with a stored state, ascending from 0.
        margin: thresholds over what the variants showed.
        variants: what was varied, in words.
        largest: family of streams to the largest relative deviation of any variant, by steps since the last state.
    """

    states: str
    steps: tuple[int, ...]
    margin: float
    variants: tuple[str, ...]
    largest: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Baseline:
    """What a training is held against.

    Args:
        record: what the training did when the baseline was made.
        origin: when, from which commit, with which libraries and why it was made; empty if it does not say.
        calibration: of a low-precision baseline with stored states.
        seeds: seed to metric to value, of a training that was run with several (`comparing.equivalence`).
    """

    record: Record
    origin: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None
    seeds: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the baseline as a record's text with some parts more."""
        calibration = asdict(self.calibration) if self.calibration else None
        seeds = {str(seed): dict(metrics) for seed, metrics in self.seeds.items()}
        return write_record(self.record, origin=dict(self.origin), calibration=calibration, seeds=seeds)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote, or a record's own text.

        Raises:
            RecordError: the text is no record, of another format version, or was edited (`reason` "checksum").
        """
        record, beside = read_baseline(text)
        fields: dict[str, Any] | None = beside.pop("calibration")
        return cls(Record(**record), calibration=Calibration(**fields) if fields else None, **beside)
