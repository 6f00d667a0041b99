"""How many planted faults a gate notices: mutation testing of the gate itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison import compare
from harness.deviations import Divergence
from harness.record import Record


__all__ = ["Mutant", "Power", "examine"]


@dataclass(frozen=True)
class Mutant:
    """A training with a planted fault, held against the training without it.

    Args:
        fault: its name in `faults.FAULTS`.
        planted: whether it took effect.
        reason: why it did not, or how the training broke under it.
        divergence: where the comparison says that it shows; None if it does not, or if the training broke.
        caught: whether the gate turns red.
    """

    fault: str
    planted: bool
    reason: str = ""
    divergence: Divergence | None = None
    caught: bool = False


@dataclass(frozen=True)
class Power:
    """A training under every standard fault.

    Args:
        record: the training without a fault.
        mutants: one a fault.
    """

    record: Record
    mutants: Sequence[Mutant]

    @property
    def planted(self) -> Sequence[Mutant]:
        """Those whose fault took effect."""
        return [mutant for mutant in self.mutants if mutant.planted]

    @property
    def caught(self) -> Sequence[Mutant]:
        """Those that the gate notices."""
        return [mutant for mutant in self.planted if mutant.caught]

    @property
    def score(self) -> float:
        """Share of the faults that took effect that are caught; 1.0 if none did."""
        return len(self.caught) / len(self.planted) if self.planted else 1.0


def examine(fault: str, baseline: Record, record: Record) -> Mutant:
    """Judge a training with a planted fault as the gate would.

    Args:
        fault: its name.
        baseline: the training without it.
        record: the training with it.
    """
    planted, reason = record.fault or (False, "no recorder watches this training")
    if not planted:
        return Mutant(fault, planted=False, reason=reason)
    comparison = compare(baseline, record)
    caught = comparison.verdict == "different"
    return Mutant(fault, planted=True, divergence=comparison.first_divergence, caught=caught)
