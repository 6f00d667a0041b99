"""The gate's own power, in words."""

from harness.power import Mutant, Power
from harness.report.words import number, stream_text, title


__all__ = ["power_text"]


def power_text(power: Power, test: str) -> str:
    """Word how a training fares under the standard faults.

    Args:
        power: the training's.
        test: pytest's id of its test.

    Returns:
        A headline with the score, and a line a fault: where it was caught, that it escaped, or why it was not planted.
    """
    planted, caught = len(power.planted), len(power.caught)
    headline = f"gate power {power.score:.2f}: {caught} of {number(planted, 'planted fault')} caught"
    width = max(len(mutant.fault) for mutant in power.mutants)
    lines = [f"  {mutant.fault:<{width}}  {_fate(mutant)}" for mutant in sorted(power.mutants, key=_rank)]
    return "\n".join([f"{headline}   {title(power.record)}   {test}", *lines])


def _rank(mutant: Mutant) -> int:
    """Escapes come first, what was not planted last."""
    return 2 if not mutant.planted else int(mutant.caught)


def _fate(mutant: Mutant) -> str:
    if not mutant.planted:
        return f"not planted: {mutant.reason}"
    if mutant.divergence is None:
        return f"caught: {mutant.reason}" if mutant.caught else "ESCAPED: it moved nothing beyond the threshold"
    step, stage, stream = mutant.divergence
    place = f"step {step}, {stage}, {stream_text(stream)}"
    return f"caught at {place}" if mutant.caught else f"ESCAPED as drift: {place}"
