"""How many planted faults a gate notices: mutation testing of the gate itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparing.comparison import compare
from harness.comparing.deviations import Divergence
from harness.comparing.variants import is_repeated
from harness.errors import FaultError, RerunError
from harness.faults import FAULTS, OF_RANKS
from harness.record import Baseline, Record
from harness.recording.perturbation import Rerun, Rerunner
from harness.recording.states import States


@dataclass(frozen=True)
class Mutant:
    """A training with a planted fault, held against the training without it."""

    fault: str  # its name in `faults.FAULTS`
    planted: bool  # whether it took effect
    reason: str = ""  # why it did not, or how the training broke under it
    failed: bool = False  # whether something else broke: the planting itself, or the training before it took effect
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
    def failed(self) -> Sequence[Mutant]:
        """Those that nothing can be said of, because something else than the fault broke them."""
        return [mutant for mutant in self.mutants if mutant.failed]

    @property
    def score(self) -> float | None:
        """Share of the faults that took effect that are caught; None if none did."""
        return len(self.caught) / len(self.planted) if self.planted else None

    def reaches(self, least: float) -> bool:
        """Tell whether a least share is caught; any above 0 takes a fault that was planted, and none that failed."""
        return not least or (self.score is not None and self.score >= least and not self.failed)


def measure(
    record: Record, baseline: Baseline | Record, states: States | None, rerun: Rerunner, *, strict: bool = False
) -> Power | None:
    """Plant every standard fault that a training can have, and judge each run as the gate would.

    Args:
        record: of the training, which the gate has passed.
        baseline: that the gate in force holds each run against.
        states: that each run is put back on, if the baseline has any.
        rerun: runs the training again.
        strict: whether drift is red.

    Returns:
        The power; None if two runs without a fault are not one bit for bit: then nothing can be planted in it.

    Raises:
        RerunError: it cannot be run again without a fault.
    """
    control = rerun(Rerun("no fault", states=states)).record
    twin = rerun(Rerun("no fault, once more", states=states)).record if states else record
    if not is_repeated(twin, control) or compare(baseline, control).verdict == "different":
        return None
    is_alone = record.world is None or record.world.size == 1
    faults = [fault for fault in FAULTS if not (is_alone and fault in OF_RANKS)]
    return Power(record, [_mutant(fault, baseline, states, rerun, strict) for fault in faults])


def _mutant(fault: str, baseline: Baseline | Record, states: States | None, rerun: Rerunner, strict: bool) -> Mutant:
    try:
        reran = rerun(Rerun(f"fault {fault}", states=states, fault=fault))
    except RerunError as error:  # one that the fault broke is caught: nobody overlooks it
        broken = isinstance(error, FaultError) and error.planted
        return Mutant(fault, planted=broken, reason=error.what, caught=broken, failed=not broken)
    planted, reason = reran.outcome
    return examine(fault, baseline, reran.record, strict) if planted else Mutant(fault, planted=False, reason=reason)


def examine(fault: str, baseline: Baseline | Record, record: Record, strict: bool = False) -> Mutant:
    """Judge a training that a fault took effect in, against the baseline without it, as the gate would."""
    comparison = compare(baseline, record)
    caught = comparison.verdict == "different" or (strict and comparison.verdict == "drift")
    return Mutant(fault, planted=True, divergence=comparison.first_divergence, caught=caught)
