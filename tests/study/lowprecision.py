"""Faults that live in low precision, which float64 cannot see: float32 runs, put back on the baseline's states."""

import functools

from harness.comparing.variants import DRAWS, KERNELS
from harness.record import Baseline
from harness.recording.states import States
from tests.study.baselines import calibrated, varied
from tests.study.runs import REFERENCE, Conditions, kept, run


_KEEPING = Conditions("float32", keeps_states=True)
CALIBRATING = ("B01", "B06", "B08", "B09", "B41")
"""Benign variants that the calibration has seen; on the others its thresholds are put to the test."""


def replay() -> Conditions:
    """Return the conditions of a float32 run that is put back on the reference's states."""
    return Conditions("float32", states=kept(REFERENCE, _KEEPING).with_suffix(".states").name)


@functools.cache
def baseline() -> Baseline:
    """Return the float32 baseline with its calibration, as the plugin makes them; runs what is missing."""
    record = run(REFERENCE, _KEEPING).record
    states = States.from_bytes(kept(REFERENCE, _KEEPING).with_suffix(".states").read_bytes())
    return calibrated(record, [*varied(REFERENCE, replay(), [*KERNELS, *DRAWS])], states)


def bytes_of_states() -> int:
    """Return the size of the stored states."""
    return kept(REFERENCE, _KEEPING).with_suffix(".states").stat().st_size
