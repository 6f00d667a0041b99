"""How far benign variants part in a long training: until when is the threshold sharp?"""

import dataclasses

from harness import Record, compare
from harness.record import Stream
from tests.study.benign import LONG
from tests.study.runs import REFERENCE, STEPS_PER_EPOCH, Conditions, run, run_all


STEPS = (1, 10, 64, 200, 500, 1000)
_LONG = Conditions(epochs=-(-STEPS[-1] // STEPS_PER_EPOCH))


def report(jobs: int) -> str:
    """Run what is missing and return the table."""
    run_all([REFERENCE, *LONG], [_LONG], jobs)
    baseline = run(REFERENCE, _LONG).record
    lines = [f"{'largest deviation of any value until step':<52}" + "".join(f"{step:>9}" for step in STEPS)]
    for variant in LONG:
        record = run(variant, _LONG).record
        sizes = (compare(first_steps(baseline, steps), first_steps(record, steps)).largest for steps in STEPS)
        lines.append(f"{variant.what:<52}" + "".join(f"{size:>9.0e}" for size in sizes))
    return "\n".join(lines)


def first_steps(record: Record, steps: int) -> Record:
    """Return the record of a run that was cut off after some steps."""
    return dataclasses.replace(record, streams={name: _cut(stream, steps) for name, stream in record.streams.items()})


def _cut(stream: Stream, steps: int) -> Stream:
    kept = sum(step < steps for step in stream.steps)
    return Stream(stream.stage, stream.steps[:kept], stream.values[:kept])
