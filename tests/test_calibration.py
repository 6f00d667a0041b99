"""Promises of calibration: thresholds come from what benign variants show, and faults stand above them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Recipe, compare, train
from harness.comparing import variants
from harness.comparing.metrics import of_seeds
from harness.comparing.plausible import implausible
from harness.comparing.thresholds import MARGINS
from harness.comparing.variants import DRAWS, KERNELS, calibrate, measured, put_back, require_repeatable, require_same
from harness.errors import UnseededError
from harness.record import STAGES, Baseline, Stream
from harness.recording.perturbation import Perturbation, Reran, Rerun, perturbed
from harness.recording.states import States
from tests.test_comparison import series
from tests.test_record import record_of


def put_back_on(*steps):
    """States that begin at some steps; of what is in them nothing depends here."""
    import torch

    return States({step: {"weight/w": torch.ones(1)} for step in steps})


def low(**streams):
    """A float32 record: `weight__w` stands for the stream `weight/w`."""
    return record_of({name.replace("__", "/"): stream for name, stream in streams.items()}, precision="float32")


def test_the_largest_deviation_of_any_variant_counts():
    """By steps since the last state, and none below the one before: noise does not shrink within a segment."""
    baseline = low(loss=series(1.0, 1.0, 1.0, 1.0, 1.0))
    replays = {
        "one": low(loss=series(1.0, 1.5, 1.125, 1.0, 1.0)),
        "other": low(loss=series(1.0, 1.0, 1.0, 1.25, 1.0)),
    }
    found = measured(baseline, put_back_on(0, 3), replays)

    assert found.largest == {"loss": (0.25, 0.5, 0.5)}
    assert (found.steps, found.margin, found.variants) == ((0, 3), MARGINS["float32"], ("one", "other"))
    assert found.states == put_back_on(0, 3).sha256


def test_tensors_of_one_kind_share_a_threshold():
    """What moved in one gradient may move in the next; other streams stand alone."""
    streams = {
        "gradient__a": series(1.0, stage="backward"),
        "gradient__b": series(1.0, stage="backward"),
        "optimizer__a__exp_avg": series(1.0, stage="state"),
        "optimizer__b__exp_avg_sq": series(1.0, stage="state"),
        "loss": series(1.0),
        "penalty": series(1.0),
    }
    moved = {name: series(1.0 + 2.0**-i, stage=stream.stage) for i, (name, stream) in enumerate(streams.items())}
    found = measured(low(**streams), put_back_on(0), {"one": low(**moved)})

    assert found.largest == {
        "gradient": (1.0,),
        "optimizer/exp_avg": (0.25,),
        "optimizer/exp_avg_sq": (0.125,),
        "loss": (0.0625,),
        "penalty": (0.0312,),
    }


def test_what_has_no_size_calibrates_nothing():
    """NaN, a missing step, another fingerprint or a changed rate in a variant do not open the gate for a fault."""
    baseline = low(
        loss=series(1.0, 1.0),
        extra=series(1.0),
        batch__order=series("0123456789abcdef", stage="data"),
        learning_rate__w=series(0.1, stage="schedule"),
    )
    replay = low(
        loss=series(float("nan")),
        batch__order=series("fedcba9876543210", stage="data"),
        learning_rate__w=series(0.2, stage="schedule"),
    )

    assert measured(baseline, put_back_on(0), {"broken": replay}).largest == {}


def test_distances_from_the_states_are_calibrated():
    """Only a replay has them; the baseline was at no distance from itself."""
    replay = low(loss=series(1.0), distance__weight__w=series(0.5, 0.25, stage="state"))

    assert measured(low(loss=series(1.0)), put_back_on(0), {"one": replay}).largest == {"distance/weight": (0.5, 0.5)}


numbers = st.lists(st.floats(0.8, 1.2), min_size=6, max_size=6)


@given(numbers, st.lists(numbers, min_size=1, max_size=3), st.sets(st.integers(1, 5), max_size=3))
def test_no_variant_that_was_measured_alarms(before, variants, starts):
    """Whatever numbers a variant shows: held against the baseline that it calibrated, it is no difference."""
    at_rest = {"distance__weight__w": series(0.0, stage="state")}
    replays = {str(i): low(loss=series(*values), **at_rest) for i, values in enumerate(variants)}
    baseline = low(loss=series(*before))
    calibrated = Baseline(baseline, calibration=measured(baseline, put_back_on(0, *starts), replays))

    for replay in replays.values():
        assert compare(calibrated, replay).verdict != "different"


def test_the_variants_are_real_and_unlike_each_other():
    """Other threads, kernels, layouts and instruction sets, besides noise; each changes something."""
    run = [*KERNELS, *DRAWS]

    assert len({variant.text for variant in run}) == len(run)
    assert all(variant.perturbation != Perturbation() or variant.environment for variant in run)
    assert all(variant.perturbation.jitter for variant in DRAWS)
    assert not any(variant.perturbation.jitter for variant in KERNELS)
    assert not any(variant.perturbation.seed_shift or variant.perturbation.plant or variant.fault for variant in run)


LOW = Recipe(width=2, epochs=2, train_images=20, test_images=200, batch_size=8, warmup_steps=1, precision="float32")
"""Twenty test images a class: one that noise classifies otherwise moves an accuracy by 5 points."""
IN_PROCESS = [variant for variant in KERNELS if not variant.environment]


@pytest.fixture(scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.long)])
def calibrated(request):
    """A recipe, its baseline with thresholds, and the states: what `--mpl-generate-path` makes, in this process."""
    recipe, kept = dataclasses.replace(LOW, precision=request.param), States()
    record = train(recipe, states=kept)

    def rerun(how):
        with perturbed(how.perturbation):
            return Reran(train(recipe, states=how.states), (False, ""))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "KERNELS", IN_PROCESS)
        return recipe, Baseline(record, calibration=calibrate(record, kept, rerun)), kept


def test_a_recipe_is_put_back_through_resume_and_average(calibrated):
    """Weights, averages, optimizer and BatchNorm: nothing of a step begins elsewhere than the state says."""
    recipe, baseline, kept = calibrated
    comparison = compare(baseline, train(recipe, states=kept))

    assert comparison.verdict == "same"
    assert kept.steps == tuple(range(recipe.num_steps))
    assert any(key.family == "distance/optimizer/momentum_buffer" for key in comparison.record.streams)
    assert "distance/weight/average.module.classifier.weight" in comparison.record.streams


def test_a_benign_variant_that_was_not_measured_is_drift(calibrated):
    """Other noise than the calibration's: no alarm."""
    recipe, baseline, kept = calibrated
    with perturbed(Perturbation(jitter=5)):
        record = train(recipe, states=kept)
    comparison = compare(baseline, record)

    assert (comparison.verdict, comparison.deviations) == ("drift", ())
    assert comparison.largest > 0


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ({"learning_rate": 0.0505}, "schedule"),
        ({"momentum": 0.89}, "update"),
        ({"weight_decay": 0.05}, "update"),
        ({"label_smoothing": 0.2}, "backward"),
        ({"nesterov": False}, "update"),
        ({"ema_decay": 0.8}, "state"),
        ({"clip_norm": 0.01}, "update"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_fault_stands_above_the_thresholds(calibrated, change, stage):
    """At night in bfloat16, too; the stage is not after the fault's, though each segment starts from a state.

    A hundredth of the momentum moves updates by 1.3 %; rounding to 8 bits moves those of so small a model by 0.6 %.
    """
    recipe, baseline, kept = calibrated
    if recipe.precision == "bfloat16" and "momentum" in change:
        change = {"momentum": 0.87}
    comparison = compare(baseline, train(dataclasses.replace(recipe, **change), states=kept))

    assert comparison.verdict == "different"
    assert comparison.first_divergence.step <= 1
    assert STAGES.index(comparison.first_divergence.stage) <= STAGES.index(stage)
    assert comparison.deviations[0].limit.measured is not None or stage == "schedule"


def test_another_seed_is_told_at_the_first_state(calibrated):
    """Another initialisation is at a distance."""
    recipe, baseline, kept = calibrated
    with perturbed(Perturbation(seed_shift=1)):
        comparison = compare(baseline, train(recipe, states=kept))

    assert comparison.verdict == "different"
    assert {d.stage for d in comparison.deviations if d.step == 0} >= {"data", "init"}
    assert any(d.stream.startswith("distance/init/") for d in comparison.deviations)


def test_without_its_states_a_calibrated_baseline_is_exact_in_its_environment(calibrated):
    """Thresholds hold for segments; a training that runs free is held to its bits, or to the envelope elsewhere."""
    recipe, baseline, _ = calibrated
    same = train(recipe)
    moved = dataclasses.replace(same, streams={**same.streams, "loss": _nudged(same.streams["loss"])})

    assert compare(baseline, same).verdict == "same"
    assert compare(baseline, moved).verdict == "different"


def _nudged(stream):
    return Stream(stream.stage, stream.steps, (stream.values[0] * (1 + 1e-7), *stream.values[1:]))


def test_the_calibration_is_part_of_the_text(calibrated):
    """A baseline that is read again judges as the one that was written."""
    _, baseline, _ = calibrated
    read = Baseline.from_text(baseline.to_text())

    assert read.calibration == baseline.calibration
    assert read.to_text() == baseline.to_text()
    assert implausible(read) == ""


def test_a_variant_departs_in_nothing_by_default():
    """Each field says what it changes."""
    assert Rerun("none").perturbation == Perturbation()
    assert (Rerun("none").environment, Rerun("none").states, Rerun("none").fault) == ({}, None, "")


def answering(*records):
    """What runs a training again: with these records, one after another."""
    pending = iter(records)
    return lambda how: Reran(next(pending), (False, ""))


RAN = low(loss=series(1.0, float("nan")), batch__order=series("0123456789abcdef", stage="data"))
OTHER_DATA = low(loss=series(1.0, float("nan")), batch__order=series("fedcba9876543210", stage="data"))


def test_a_training_that_is_run_again_is_the_same_bit_for_bit():
    """NaN in both is the same; a last digit, initial weights that no norm shows, and another shape are not."""
    require_same(RAN, answering(RAN))
    for again, place in (
        (low(**dict(RAN.streams) | {"loss": series(1.0, 2.0)}), "step 1 on: forward, loss"),
        (low(**dict(RAN.streams) | {"loss": series(1.0 + 2**-52, float("nan"))}), "step 0 on: forward, loss"),
        (dataclasses.replace(RAN, initial="f00d"), "step 0 on: init, initial weights"),
        (dataclasses.replace(RAN, structure={}), "step 0 on: structure, "),
    ):
        with pytest.raises(UnseededError, match=f"two trainings of one session differ from {place}"):
            require_same(RAN, answering(again))


def test_random_numbers_that_are_others_from_the_start_are_named():
    """Of a generator that an earlier test drew from, say: no draw without a seed is seen. Later ones only follow."""
    first, again, later = (
        dataclasses.replace(
            low(loss=series(loss)), clues={"random/a": series("0", number), "random/b": series(number, stage="data")}
        )
        for loss, number in ((1.0, "1"), (2.0, "1"), (2.0, "2"))
    )
    with pytest.raises(UnseededError, match="no draw without a seed was seen; random numbers of b were others at"):
        require_repeatable(first, answering(later))
    with pytest.raises(UnseededError) as error:
        require_repeatable(first, answering(again))
    assert error.value.where == "no draw without a seed was seen"


def test_what_is_put_back_is_judged_only_where_it_is_the_training_that_ran():
    """Its weights are others; run again as it is, all is the same, and so is in the judged run what states leave."""
    judged = low(**dict(RAN.streams) | {"loss": series(1.5, 1.5)})

    assert put_back(RAN, put_back_on(0), answering(RAN, judged)) is judged
    for reruns in ((judged, judged), (RAN, OTHER_DATA), (RAN, dataclasses.replace(judged, initial="f00d"))):
        with pytest.raises(UnseededError, match="two trainings of one session differ"):
            put_back(RAN, put_back_on(0), answering(*reruns))


def test_seeds_do_not_outvote_a_training_that_went_wrong_once():
    """The first is run again with its own seed before others are trained."""
    first, others = low(loss=series(1.0)), [low(loss=series(value)) for value in (2.0, 3.0)]

    assert [found["loss"] for _, found in of_seeds(first, 3, answering(first, *others))] == [1.0, 2.0, 3.0]
    with pytest.raises(UnseededError, match="two trainings of one session differ from step 0 on: forward, loss"):
        next(of_seeds(first, 3, answering(others[0])))
