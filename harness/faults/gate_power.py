"""How many planted faults a gate notices: mutation testing of the gate itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparing.comparison import compare
from harness.comparing.deviations import Divergence
from harness.faults import FAULTS
from harness.record import Baseline, Record
from harness.recording.perturbation import Rerun, Rerunner
from harness.recording.states import States


@dataclass(frozen=True)
class Mutant:
    """A training with a planted fault, held against the training without it."""

    fault: str  # its name in `faults.FAULTS`
    planted: bool  # whether it took effect
    reason: str = ""  # why it did not, or how the training broke under it
    divergence: Divergence | None = None  # where it shows; None if it does not, or if the training broke
    caught: bool = False  # whether the gate turns red


@dataclass(frozen=True)
class Power:
    """A training without a fault, and its mutants, one under every standard fault."""

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


def measure(record: Record, baseline: Baseline | Record, states: States | None, rerun: Rerunner) -> Power | None:
    """Plant every standard fault in a training and judge each run as the gate would.

    Each run is held against a baseline: the record itself, or in low precision the baseline with the states that it is
    put back on. None if the training, run again without a fault, is another: then nothing can be planted in it.
    """
    control = rerun(Rerun("no fault", states=states)).record
    if compare(baseline, control).verdict == "different":
        return None
    return Power(record, [_mutant(fault, baseline, states, rerun) for fault in FAULTS])


def _mutant(fault: str, baseline: Baseline | Record, states: States | None, rerun: Rerunner) -> Mutant:
    try:
        record, (planted, reason) = rerun(Rerun(f"fault {fault}", states=states, fault=fault))
    except Exception as error:  # whatever a broken training raises: nobody overlooks it
        reason = f"the training ended with {type(error).__name__}: {error}".splitlines()[0]
        return Mutant(fault, planted=True, reason=reason, caught=True)
    return examine(fault, baseline, record) if planted else Mutant(fault, planted=False, reason=reason)


def examine(fault: str, baseline: Baseline | Record, record: Record) -> Mutant:
    """Judge a training that a fault took effect in, against the baseline without it, as the gate would."""
    comparison = compare(baseline, record)
    caught = comparison.verdict == "different"
    return Mutant(fault, planted=True, divergence=comparison.first_divergence, caught=caught)
