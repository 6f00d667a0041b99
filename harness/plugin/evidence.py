"""What a training shows when it is run again and again: thresholds, seeds, power."""

import dataclasses
from typing import TYPE_CHECKING

from harness.errors import UnrepeatableError
from harness.plugin.checked import Checked
from harness.plugin.rerun import Rerun
from harness.variation import Variation


if TYPE_CHECKING:
    from harness.equivalence import Equivalence
    from harness.power import Mutant, Power
    from harness.record import Record
    from harness.states import States

__all__ = ["calibrated", "judged", "measured", "with_seeds"]


def calibrated(checked: Checked, states: "States") -> "Record":
    """Run the benign variants of a low-precision training; return its record with the thresholds that they give."""
    from harness.calibration import VARIANTS, calibrate

    replays = {v.text: checked.rerun(v.text, Rerun(v.variation, v.environment, states)) for v in VARIANTS}
    return dataclasses.replace(checked.record, calibration=calibrate(checked.record, states, replays))


def with_seeds(checked: Checked, record: "Record", count: int) -> "Record":
    """Train a baseline's other seeds; return its record with the summaries of all of them."""
    seeds = {str(record.seed + shift): _summary(checked, shift) for shift in range(count)}
    return dataclasses.replace(record, seeds=seeds)


def judged(checked: Checked, baseline: "Record", count: int) -> "Equivalence":
    """Train seed after seed until the training is told from its baseline, or shown to be as good.

    Args:
        checked: the present training; it is the first seed.
        baseline: with the summaries of its seeds.
        count: seeds that are planned.

    Raises:
        EquivalenceError: the seeds cannot be judged together.
    """
    from harness.equivalence import LEAST_SEEDS, judge

    former = {int(seed): metrics for seed, metrics in baseline.seeds.items()}
    present: dict[int, dict[str, float]] = {}
    for shift in range(count):
        present[checked.record.seed + shift] = _summary(checked, shift)
        if len(present) >= LEAST_SEEDS and (result := judge(former, present, count)).decided:
            break
    return result


def _summary(checked: Checked, shift: int) -> dict[str, float]:
    from harness.summary import summary

    if not shift:
        return summary(checked.record)
    return summary(checked.rerun(f"seed {checked.record.seed + shift}", Rerun(Variation(seed_shift=shift))))


def measured(checked: Checked, baseline: "Record") -> "Power":
    """Plant every standard fault in a training and judge each run as the gate would.

    A float64 training is held against its own record; one in low precision against its baseline, whose states it is
    put back on.

    Raises:
        UnrepeatableError: the training, run again without a fault, is another.
    """
    from harness.comparison import compare
    from harness.faults import FAULTS
    from harness.power import Power

    states = checked.stored_states(baseline)
    baseline = baseline if states else checked.record
    control = checked.rerun("no fault", Rerun(states=states))
    if compare(baseline, control).verdict == "different":
        raise UnrepeatableError(nodeid=checked.item.nodeid)
    return Power(checked.record, [_mutant(checked, fault, baseline, states) for fault in FAULTS])


def _mutant(checked: Checked, fault: str, baseline: "Record", states: "States | None") -> "Mutant":
    from harness.power import Mutant, examine

    try:
        record = checked.rerun(f"fault {fault}", Rerun(Variation(fault=fault), states=states))
    except Exception as error:  # whatever a broken training raises: nobody overlooks it
        reason = f"the training ended with {type(error).__name__}: {error}".splitlines()[0]
        return Mutant(fault, planted=True, reason=reason, caught=True)
    return examine(fault, baseline, record)
