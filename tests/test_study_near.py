"""Promises of the study of faults near the limit: they fit both architectures, and measured thresholds see them."""

import dataclasses

import pytest

from harness import compare
from harness.comparing.variants import DRAWS, measured
from harness.record import Baseline
from harness.recording.perturbation import perturbed
from tests.study import near
from tests.study.architectures import FIRST, SECOND
from tests.study.faults import FAULTS, NEAR, NEARER, right_stages
from tests.study.runs import edited, train


SHORT = {"data": "synthetic", "epochs": 2, "train_images": 35, "test_images": 30, "bs": 16, "micro": 8}
"""Six steps with everything in them: partial batches, both micro-batches, a resume at step 3, two evaluations."""


def fault(id):
    """A fault by its id."""
    return next(fault for fault in near.ALL if fault.id == id)


def short(variant):
    """The record of a variant's shortened run, in this process."""
    return train(edited(variant), **SHORT)


@pytest.fixture(scope="module")
def baseline():
    """The shortened first program as a baseline, with the thresholds that it measured itself."""
    draws = {}
    for draw in DRAWS:
        with perturbed(draw.perturbation):
            draws[draw.text] = short(FIRST.reference)
    record = short(FIRST.reference)
    return Baseline(record, calibration=measured(record, None, draws))


@pytest.fixture(scope="module")
def smoothed():
    """The record of label smoothing that is off by a billionth."""
    return short(FIRST.planted(fault("N05")))


def test_a_fault_near_the_limit_is_seen_by_measured_thresholds_alone(baseline, smoothed):
    """Label smoothing off by a billionth is named at the first loss, and within 1e-10 to the end."""
    fixed = compare(baseline.record, smoothed)

    assert compare(baseline, smoothed).first_divergence[:2] == (0, "forward")
    assert fixed.verdict == "same"
    assert 0 < fixed.largest < 1e-10


def test_what_no_norm_shows_is_noted(baseline):
    """Initial weights without their last ten bits are told by their digest, though a resume shows them elsewhere."""
    record = short(FIRST.planted(fault("N13")))
    comparison = compare(baseline, record)

    assert comparison.starts_elsewhere
    assert all(point.size < 1e-13 for point in comparison.points if point.stage == "init" and not point.step)
    assert near.Planted.of(fault("N13"), FIRST, 0, baseline, record).named_right


def test_a_later_start_does_not_hide_the_note(baseline):
    """Where a resumed model begins elsewhere, too, the note on the first start stays; shown at the start, it goes."""
    record = dataclasses.replace(baseline.record, initial="0" * 32)
    resumed = dataclasses.replace(record, streams=moved(record.streams, at=3))
    begun = dataclasses.replace(record, streams=moved(record.streams, at=0))

    assert compare(baseline, resumed).starts_elsewhere
    assert not compare(baseline, begun).starts_elsewhere


def moved(streams, at):
    """Streams of which one initial norm is another at a step."""
    key = next(key for key in streams if key.kind == "init")
    values = tuple(v * (1 + (step == at)) for step, v in zip(streams[key].steps, streams[key].values, strict=True))
    return {**streams, key: dataclasses.replace(streams[key], values=values)}


@pytest.mark.parametrize(
    ("architecture", "missing"), [(FIRST, ["N12"]), (SECOND, ["A10", "A16", "O05", "O07", "O11", "R05"])]
)
def test_which_faults_an_architecture_cannot_have(architecture, missing):
    """The others' edits fit, and their new text is Python that differs from the sound one."""
    variants = [architecture.planted(fault) for fault in near.ALL if not architecture.why_not(fault)]
    for variant in variants:
        compile(edited(variant), variant.id, "exec")
        assert edited(variant) != edited(architecture.reference), variant.id

    assert [fault.id for fault in near.ALL if architecture.why_not(fault)] == missing


def test_every_fault_near_the_limit_has_its_right_stages():
    """There are ten or more; the ground truth is written down for each, and never says that any stage will do."""
    assert len({fault.id for fault in near.ALL}) == len(near.ALL) >= len(FAULTS) + 10
    for each in (*NEAR, *NEARER):
        assert 1 <= len(right_stages(each)) <= 2, each.id


def test_the_other_architecture_is_trained():
    """AdamW's eps, which the first program does not have, is caught there, in the first update, and named."""
    comparison = compare(short(SECOND.reference), short(SECOND.planted(fault("N12"))))

    assert comparison.verdict == "different"
    assert comparison.deviations[0].divergence[:2] == (0, "update")
    assert comparison.first.stream.entry == "eps"


def test_what_is_printed_is_counted_from_the_verdicts(baseline, smoothed):
    """Caught, caught by 1e-10 and named right are counted apart; what escapes is listed, with its reason if known."""
    judged = near.Planted.of(fault("N05"), FIRST, 0, baseline, smoothed)
    missed = near.Planted.of(fault("P01"), FIRST, 0, baseline, baseline.record)

    assert f"| {FIRST.what} | near the limit | 1 | 1 | 0 | 1 |" in near.summary([judged, missed], [0.25])
    assert "A fourth draw reaches at most 2e-01 of a threshold." in near.summary([judged], [0.25])
    assert "| N05 | label smoothing 1e-9 of itself higher | x | - | 0 forward | x |" in near.faults_table([judged])
    assert near.escapes([judged, missed]) == []
    assert near.escapes([dataclasses.replace(missed, fault=fault("N05"))]) != []
    assert all(place in "\n".join(near.not_planted()) for place in ("reference: N12", "second: R05"))
