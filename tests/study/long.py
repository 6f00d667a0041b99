"""How far benign variants part in a long training: until when is the threshold sharp?"""

import dataclasses
from collections.abc import Sequence

from harness import Record, compare
from harness.record.streams import Stream
from tests.study.benign import LONG
from tests.study.runs import REFERENCE, STEPS_PER_EPOCH, Conditions, Variant, run, run_all


STEPS = (1, 10, 64, 200, 500, 1000)
_CONDITIONS = Conditions(epochs=-(-STEPS[-1] // STEPS_PER_EPOCH))
_CONSTANT_RATE = ("return 0.5 * (1 + math.cos(math.pi * step / total))", "return 1.0")


def report(jobs: int) -> str:
    """Run what is missing and return two tables: with the rate that falls to zero, and with one that does not."""
    falling, constant = [REFERENCE, *LONG], [_at_constant_rate(variant) for variant in (REFERENCE, *LONG)]
    run_all([*falling, *constant], [_CONDITIONS], jobs)
    return f"cosine learning rate\n\n{_table(falling)}\n\nconstant learning rate\n\n{_table(constant)}"


def _at_constant_rate(variant: Variant) -> Variant:
    return dataclasses.replace(variant, id=f"{variant.id}-constant", edits=(*variant.edits, _CONSTANT_RATE))


def _table(variants: Sequence[Variant]) -> str:
    baseline, *records = (run(variant, _CONDITIONS).record for variant in variants)
    lines = ["| largest deviation of any value until step |" + "".join(f" {step} |" for step in STEPS)]
    lines.append("| --- |" + " --- |" * len(STEPS))
    for variant, record in zip(variants[1:], records, strict=True):
        sizes = (compare(first_steps(baseline, steps), first_steps(record, steps)).largest for steps in STEPS)
        lines.append(f"| {variant.what} |" + "".join(f" {size:.0e} |" for size in sizes))
    return "\n".join(lines)


def first_steps(record: Record, steps: int) -> Record:
    """Return the record of a run that was cut off after some steps."""
    return dataclasses.replace(record, streams={name: _cut(stream, steps) for name, stream in record.streams.items()})


def _cut(stream: Stream, steps: int) -> Stream:
    kept = sum(step < steps for step in stream.steps)
    return Stream(stream.stage, stream.steps[:kept], stream.values[:kept])
