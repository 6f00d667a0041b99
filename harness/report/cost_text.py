"""What a training costs beside another commit's, in words."""

from collections.abc import Sequence

from harness.elsewhere.cost import Cost
from harness.explaining.blame import Changed
from harness.report.blame_text import blame_lines
from harness.report.words import count, rows_text


def cost_text(cost: Cost) -> str:
    """Return step time and peak memory here and there: "step 12.3 ms, 10.1 ms at main (9f8e7d2): x 1.22 (...); ..."."""
    if cost.unknown:
        return f"not measured beside {cost.at}: {cost.unknown}"
    step = f"step {_seconds(cost.step)}, {_seconds(cost.former_step)} at {cost.at}: {_ratio(cost)}"
    if not (cost.memory and cost.former_memory):
        return step
    return f"{step}; memory {_bytes(cost.memory)}, {_bytes(cost.former_memory)}"


def slower_text(cost: Cost, limit: float, *, recipe: str, changed: Sequence[Changed]) -> str:
    """Word a training that is the same, but slower than a limit allows (times what it took), or perhaps so."""
    headline = f"training is slower than at {cost.at}: {_ratio(cost)}, allowed x {limit:g}"
    if cost.unknown:
        headline = f"training is not known to take at most {limit:g} times what it took at {cost.at}"
    blame = "" if cost.unknown else "; ".join(blame_lines(changed))
    return rows_text(headline, {"cost": cost_text(cost), "blame": blame, "recipe": recipe})


def _ratio(cost: Cost) -> str:
    return f"x {cost.ratio:.2f} ({cost.smallest:.2f} to {cost.largest:.2f})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.4g} s" if seconds >= 1 else f"{1000 * seconds:.4g} ms"  # enough for whoever divides them


def _bytes(size: int) -> str:
    return f"{count(round(size / 10**6))} MB"
