"""Baselines that were measured, as the plugin measures them: the reference is run again under what rounding may do."""

import dataclasses
from collections.abc import Iterator, Sequence

from harness.comparing.variants import measured
from harness.record import Baseline, Record
from harness.recording.perturbation import Rerun
from harness.recording.states import States
from tests.study.runs import Conditions, Variant, run


def calibrated(record: Record, reruns: Sequence[tuple[Variant, Conditions]], states: States | None = None) -> Baseline:
    """Return a record as a baseline with its calibration; runs what is missing.

    Args:
        record: what the reference did.
        reruns: of the reference, from `varied`.
        states: that they were put back on.
    """
    replays = {variant.what: run(variant, conditions).record for variant, conditions in reruns}
    return Baseline(record, calibration=measured(record, states, replays))


def varied(reference: Variant, conditions: Conditions, reruns: Sequence[Rerun]) -> Iterator[tuple[Variant, Conditions]]:
    """Yield a reference and its conditions as each rerun varies them."""
    for rerun in reruns:
        name = f"{reference.id}-{rerun.text.replace(' ', '-')}"
        environment = {**reference.environment, **rerun.environment}
        variant = dataclasses.replace(reference, id=name, what=rerun.text, environment=environment)
        yield variant, dataclasses.replace(conditions, perturbation=rerun.perturbation)
