"""Promises of compare()."""

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import compare
from harness.comparing.deviations import stream_deviations
from harness.comparing.thresholds import THRESHOLD
from harness.record import KINDS, STAGES, Calibration, Stream
from harness.report.comparison_text import cause, difference, failure, note
from tests.test_record import baseline_of, finite, record_of, streams


def series(*numbers, stage="forward"):
    """A dense stream."""
    return Stream(stage, tuple(range(len(numbers))), numbers)


@given(st.dictionaries(st.text(min_size=1, max_size=9), streams(), max_size=5))
def test_a_record_equals_itself(named_streams):
    """No finite record deviates from itself."""
    record = record_of(named_streams)
    comparison = compare(record, record)

    assert (comparison.verdict, comparison.first_divergence, comparison.largest) == ("same", None, 0.0)


def test_a_comparison_is_a_line():
    """Verdict, and where it first differs or how far it is at most."""
    baseline = record_of({"loss": series(1.0, 2.0)})
    moved = compare(baseline, record_of({"loss": series(1.0, 2.5)}))

    assert repr(compare(baseline, baseline)) == "<Comparison of made: same, largest deviation 0.0e+00, 5 values>"
    assert repr(moved) == (
        "<Comparison of made: different, from step 1, forward, loss (2.5e-01, threshold 1.0e-10) on, 1 of 5 values>"
    )


def test_a_notebook_shows_what_differs_as_a_table():
    """A row for each stream that left, where it first did; names are text, and of many the first are shown."""
    names = ["<b>loss</b>", *(f"loss{i}" for i in range(30))]
    baseline = record_of({name: series(1.0, 2.0) for name in names})
    page = compare(baseline, record_of({name: series(1.5, 2.5) for name in names}))._repr_html_()
    cells = re.findall("<td>(.*?)</td>", page)

    assert cells[:7] == ["&lt;b&gt;loss&lt;/b&gt;", "forward", "0", "1", "1.5", "3.3e-01", "1.0e-10"]
    assert page.count("<tr>") == 21
    assert page.endswith("<p>and 11 streams more</p>")
    assert "<table>" not in compare(baseline, baseline)._repr_html_()


@given(st.lists(finite, min_size=1, max_size=8), st.sampled_from([math.nan, math.inf, -math.inf]), st.data())
def test_a_non_finite_value_always_deviates(numbers, bad, data):
    """NaN and infinity are different, also where the baseline has the same one."""
    place = data.draw(st.integers(0, len(numbers) - 1))
    record = record_of({"loss": series(*numbers[:place], bad, *numbers[place + 1 :])})

    assert compare(record_of({"loss": series(*numbers)}), record).first_divergence == (place, "forward", "loss")
    assert compare(record, record).first_divergence == (place, "forward", "loss")


@pytest.mark.parametrize(("change", "verdict"), [(0.5 * THRESHOLD, "same"), (2 * THRESHOLD, "different")])
def test_the_threshold_is_relative(change, verdict):
    """A deviation counts by its share of the value."""
    baseline = record_of({"loss": series(1e6, 1e6)})

    assert compare(baseline, record_of({"loss": series(1e6, 1e6 * (1 + change))})).verdict == verdict


def test_exact_zeros_do_not_explode():
    """A fresh bias is exactly zero; rounding noise in it is measured by the stream's typical size."""
    baseline = record_of({"weight/bias": series(0.0, 1.0, 1.0, stage="state")})
    record = record_of({"weight/bias": series(1e-13, 1.0, 1.0, stage="state")})

    assert compare(baseline, record).verdict == "same"


def test_noise_in_a_gradient_that_is_zero_in_truth_does_not_alarm():
    """A bias in front of BatchNorm has a gradient of pure rounding noise: other gradients give it its scale."""
    gradients = {"gradient/conv.weight": series(1.0, 1.0, stage="backward")}
    baseline = record_of({**gradients, "gradient/conv.bias": series(1e-17, 3e-17, stage="backward")})
    record = record_of({**gradients, "gradient/conv.bias": series(-4e-17, 2e-17, stage="backward")})

    assert compare(baseline, record).verdict == "same"


@pytest.mark.parametrize(
    ("baseline", "record"),
    [
        ({"loss": series(1.0, 2.0)}, {"loss": series(1.0)}),
        ({"loss": series(1.0)}, {"loss": series(1.0, 2.0)}),
        ({"loss": series(1.0), "more": series(1.0)}, {"loss": series(1.0)}),
        ({"loss": series(1.0)}, {"loss": series(1.0), "more": series(1.0)}),
        ({"loss": Stream("forward", (0, 0), (1.0, 1.0))}, {"loss": Stream("forward", (0,), (1.0,))}),
    ],
)
def test_what_is_missing_or_extra_deviates(baseline, record):
    """A step, a stream or a micro-batch that stands on one side only is different."""
    comparison = compare(record_of(baseline), record_of(record))

    assert comparison.verdict == "different"
    assert comparison.deviations[0].size == math.inf


@pytest.mark.parametrize("value", [7, "0123456789abcdef"])
def test_integers_and_fingerprints_are_exact(value):
    """Counts and fingerprints have no tolerance."""
    baseline = record_of({"batch/labels": series(6, stage="data")})

    assert compare(baseline, record_of({"batch/labels": series(value, stage="data")})).verdict == "different"


def test_the_first_divergence_is_the_cause():
    """Of several deviations at one step the earliest stage is named; of several steps the earliest."""
    stages = [stage for stage in STAGES if stage != "structure"]
    baseline = record_of({stage: series(1.0, 1.0, stage=stage) for stage in stages})
    for place, stage in enumerate(stages):
        moved = {s: series(1.0, 1.0 if i < place else 2.0, stage=s) for i, s in enumerate(stages)}
        comparison = compare(baseline, record_of(moved))

        assert comparison.first_divergence == (1, stage, stage)
        assert comparison.unchanged == STAGES[: place + 1]


def test_a_changed_structure_comes_before_everything():
    """Another shape explains all numbers after it."""
    structure = {"w": {"shape": [3], "dtype": "float64", "requires_grad": True, "group": "w"}}
    record = record_of({"loss": series(2.0)}, structure=structure)

    assert compare(record_of({"loss": series(1.0)}), record).first_divergence == (0, "structure", "w")


def test_other_images_are_named_before_the_first_loss():
    """The data set's fingerprint is part of the comparison."""
    one, other = (record_of({"loss": series(loss)}, data={"sha256": text}) for loss, text in ((1.0, "a"), (2.0, "b")))

    assert compare(one, other).first_divergence == (0, "data", "dataset")


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=8), st.data())
def test_a_larger_change_never_deviates_less(numbers, data):
    """Sizes grow with the change."""
    place = data.draw(st.integers(0, len(numbers) - 1))
    small, large = sorted(data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    baseline = record_of({"loss": series(*numbers)})

    def size(change):
        moved = [*numbers[:place], numbers[place] * (1 + change), *numbers[place + 1 :]]
        return compare(baseline, record_of({"loss": series(*moved)})).largest

    assert size(small) <= size(large)


def test_float32_is_exact_in_its_own_environment_and_drifts_in_another():
    """Same machine: same bits. Another one: the measured envelope, and the verdict says drift."""
    baseline = record_of({"loss": series(1.0)}, precision="float32")
    here = record_of({"loss": series(1.0 + 1e-7)}, precision="float32")
    there = record_of({"loss": series(1.0 + 1e-7)}, precision="float32", environment={"torch": "3"})
    broken = record_of({"loss": series(1.1)}, precision="float32", environment={"torch": "3"})

    assert compare(baseline, here).verdict == "different"
    assert compare(baseline, there).verdict == "drift"
    assert compare(baseline, broken).verdict == "different"


def elsewhere(stream, moved, *, stage="evaluation", step=0, loss=1.0, **changes):
    """A float32 training in two environments: a loss and another number, 1 in the first of them."""

    def record(loss, value, **around):
        streams = {"loss": series(loss), stream: Stream(stage, (step,), (value,))}
        return record_of(streams, precision="float32", **around, **changes)

    return compare(record(1.0, 1.0), record(loss, moved, environment={"torch": "3"}))


@pytest.mark.parametrize("source", ["recorder", "event files"])
def test_what_nothing_could_have_failed_is_not_judged(source):
    """An accuracy elsewhere, however little it moves; a judged number that is different comes first."""
    assert elsewhere("evaluation/accuracy", 0.02, source=source).verdict == "not judged"
    assert elsewhere("evaluation/accuracy", 1.0001, loss=1 + 1e-7, source=source).verdict == "not judged"
    assert elsewhere("evaluation/accuracy", 0.02, loss=1.1, source=source).verdict == "different"
    assert elsewhere("evaluation/accuracy", 0.0, source=source).verdict == "different"
    assert elsewhere("evaluation/accuracy", 1.0, loss=1 + 1e-7, source=source).verdict == "drift"
    assert elsewhere("evaluation/accuracy", 1.0, source=source).verdict == "same"


def test_late_gradients_elsewhere_are_not_judged():
    """Early ones are drift, as far as the envelope goes."""
    assert elsewhere("gradient/w", 1.01, stage="backward", step=8).verdict == "drift"
    assert elsewhere("gradient/w", 1.2, stage="backward", step=8).verdict == "different"
    assert elsewhere("gradient/w", 1.01, stage="backward", step=20).verdict == "not judged"


def test_a_comparison_that_is_not_judged_says_what_moved_and_what_would_help():
    """Its first divergence is none, but the place, the size, and the stages before it are there, in every form."""
    comparison = elsewhere("evaluation/accuracy", 0.02)
    files = elsewhere("evaluation/accuracy", 0.02, source="event files")
    why = "from step 0 on rounding alone moves evaluation accuracy too far to be judged: "
    own = "a baseline of this environment (--training-generate=add) would help"

    assert comparison.first_divergence is None
    assert comparison.unchanged == ("structure", "forward")
    assert note(comparison) == (
        "made, float32, cpu: not judged, 1 value moved by up to 9.8e-01, which nothing could have failed, first "
        f"accuracy of the evaluation; {why}states (Recorder(states=training_regression.states())) or {own}"
    )
    assert failure(files).splitlines() == [
        "training is not judged from step 0 on: evaluation, accuracy of the evaluation",
        "  recipe     made, float32 in event files, cpu",
        "  first      step 0   baseline 1   now 0.02   (9.8e-01, which nothing could have failed)",
        "  then       1 of 5 values in 1 of 2 streams",
        "  unchanged  structure, forward",
        "  changed    torch 2 -> 3 since the baseline was made",
        f"  unjudged   {why}{own}",
    ]
    assert difference(files).startswith("training is not judged from step 0 on: evaluation, accuracy of the evaluation")


@pytest.mark.parametrize(
    ("moved", "verdict"),
    [
        ((1.0, 1.0), "same"),
        ((1.0, 1 + 2e-6), "same"),
        ((1.0, 1 + 4e-6), "not judged"),
        ((1.0, 0.0), "not judged"),
        ((1 + 1e-7, 1 + 4e-6), "different"),
        ((1.0, math.nan), "different"),
        ((1.0,), "different"),
    ],
)
def test_a_dull_number_is_the_same_as_far_as_rounding_moved_it(moved, verdict):
    """Float64 that grew to 1e-7 under jitter: thirty times that is explained, and more is not known to be different."""
    measured = Calibration(steps=(0,), margin=30.0, variants=("jitter 1",), largest={"loss": (1e-10, 1e-7)})
    baseline = baseline_of({"loss": series(1.0, 1.0)}, calibration=measured)

    assert compare(baseline, record_of({"loss": series(*moved)})).verdict == verdict


def test_a_count_that_jitter_changed_is_not_judged():
    """Evaluations of a line search, say: another number of them may be rounding, and may be a fault."""
    measured = Calibration(steps=(0,), margin=30.0, variants=("jitter 1",), largest={"evaluations": (1.0,)})
    baseline = baseline_of({"loss": series(1.0), "evaluations": series(7)}, calibration=measured)
    comparison = compare(baseline, record_of({"loss": series(1.0), "evaluations": series(9)}))

    assert (comparison.verdict, comparison.undecided[0].value) == ("not judged", 9)


def test_the_comparison_says_what_changed_around_the_training():
    """Versions and recipe fields that differ are data of the comparison, not part of the verdict."""
    baseline = record_of({}, recipe={"seed": 0, "width": 8})
    comparison = compare(baseline, record_of({}, recipe={"seed": 0, "width": 9}, environment={"torch": "3"}))

    assert comparison.verdict == "same"
    assert comparison.environment == (("torch", "2", "3"),)
    assert comparison.recipe == (("width", 8, 9),)


def entry(shape, group=None):
    """A tensor's place in the structure."""
    return {"shape": list(shape), "dtype": "float64", "requires_grad": True, "group": group}


def trained(names, *, gradient=1.0, rate=0.1, group=None):
    """A record of one step on tensors of different shapes, in one parameter group named after the first."""
    label = group or names[0]
    streams = {
        **{f"gradient/{name}": series(gradient + i, stage="backward") for i, name in enumerate(names)},
        f"learning_rate/{label}": series(rate, stage="schedule"),
        **{f"weight/{name}": series(2.0 + i, stage="state") for i, name in enumerate(names)},
        **{f"optimizer/{name}/momentum_buffer": series(3.0 + i, stage="state") for i, name in enumerate(names)},
    }
    return record_of(streams, structure={name: entry((i + 1,), label) for i, name in enumerate(names)})


def test_renamed_tensors_are_a_note():
    """Matched by shape and order: the numbers are compared under the new names, and the note says which."""
    comparison = compare(trained(["conv1.weight", "fc.weight"]), trained(["stem.weight", "fc.weight"]))

    assert comparison.verdict == "same"
    assert comparison.renamed == (("conv1.weight", "stem.weight"),)


def test_a_renamed_tensor_is_still_compared():
    """A rename hides no fault: the first divergence carries the present name."""
    comparison = compare(trained(["conv1.weight", "fc.weight"]), trained(["stem.weight", "fc.weight"], gradient=1.001))

    assert comparison.first_divergence == (0, "backward", "gradient/stem.weight")


def test_tensors_that_cannot_be_matched_are_a_changed_structure():
    """Another number or another shape is no rename."""
    assert compare(trained(["a", "b"]), trained(["a", "c", "d"])).first_divergence.stage == "structure"
    other = record_of({}, structure={"x": entry((7,))})
    assert compare(record_of({}, structure={"a": entry((1,))}), other).first_divergence == (0, "structure", "a")


def test_the_order_of_parameters_and_groups_is_free():
    """A group is its tensors: which of them gives it its name does not matter."""
    assert compare(trained(["a", "b"], group="a"), trained(["a", "b"], group="b")).verdict == "same"


def test_a_tensor_that_changes_its_group_is_a_changed_structure():
    """Groups of other tensors are other groups."""
    one, other = trained(["a", "b"]), trained(["a", "b"])
    moved = dataclasses.replace(other, structure={**other.structure, "b": entry((2,), None)})

    assert compare(one, moved).first_divergence.stage == "structure"


def shifted(stream, structure=None, **more):
    """Baseline and record that differ in one stream's values."""
    stage = {"init": "init", "weight": "state", "buffer": "state", "update": "update"}[stream.split("/")[0]]
    structure = structure or {"fc.bias": entry((10,), "fc.bias")}
    for value in (1.0, 2.0):
        yield record_of({"loss": series(1.0), stream: series(value, stage=stage), **more}, structure=structure)


@pytest.mark.parametrize("stream", ["init/fc.bias", "weight/fc.bias"])
def test_a_shift_of_trained_weights_alone_is_drift(stream):
    """All biases in front of softmax shifted: losses, gradients, updates and evaluations are untouched."""
    comparison = compare(*shifted(stream))

    assert comparison.verdict == "drift"
    assert comparison.deviations


def test_an_average_follows_its_weights():
    """The average of a shifted bias is shifted as well; that of another weight is not excused by it."""
    names = ("fc.bias", "average.module.fc.bias", "average.module.conv.weight")
    structure = {name: entry((10,), "fc.bias" if name == "fc.bias" else None) for name in names}

    def shift(*tensors):
        weights = {f"weight/{name}": series(1.0 + (name in tensors), stage="state") for name in names}
        return record_of({"loss": series(1.0), **weights}, structure=structure)

    assert compare(shift(), shift(*names[:2])).verdict == "drift"
    assert compare(shift(), shift(*names)).verdict == "different"


def test_a_shift_of_weights_is_no_drift_where_nothing_would_show_it():
    """That losses, gradients, updates and evaluations stay as they were is shown by those that were compared."""
    before, now = (
        dataclasses.replace(record, streams={"init/fc.bias": record.streams["init/fc.bias"]})
        for record in shifted("init/fc.bias")
    )

    assert compare(before, now).verdict == "different"


@pytest.mark.parametrize("stream", ["update/fc.bias", "buffer/fc.bias", "weight/average.fc.bias"])
def test_what_is_there_to_be_evaluated_never_drifts(stream):
    """BatchNorm's state, averages of weights and updates make a difference, even if nothing was evaluated."""
    structure = {"fc.bias": entry((10,), "fc.bias"), "average.fc.bias": entry((10,))}

    assert compare(*shifted(stream, structure)).verdict == "different"


def test_growth_tells_a_jump_from_a_slow_drift():
    """Each deviating step with its largest deviation; a failure gives the first three and the last."""
    baseline = record_of({"loss": series(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)})
    record = record_of({"loss": series(1.0, 1.1, 1.2, 1.4, 1.8, 2.5)})

    comparison = compare(baseline, record)
    assert [*comparison.growth] == [1, 2, 3, 4, 5]
    assert re.search(
        r"^  grows      \S+ at step 1, \S+ at step 2, \S+ at step 3, \S+ at step 5$", failure(comparison), re.M
    )
    assert compare(baseline, baseline).growth == {}


def test_a_stream_of_zeros_that_moves_deviates():
    """A penalty that was off in the baseline and is on now: there is no size to compare with, so it is different."""
    comparison = compare(record_of({"penalty": series(0.0, 0.0)}), record_of({"penalty": series(0.0, 1e-12)}))

    assert comparison.first_divergence == (1, "forward", "penalty")


def test_evaluations_do_not_lend_each_other_their_size():
    """A count of tokens beside a loss does not blunt the loss."""
    streams = {"evaluation/tokens": series(1e9, stage="evaluation"), "evaluation/loss": series(0.1, stage="evaluation")}
    moved = {**streams, "evaluation/loss": series(0.1 * (1 + 1e-6), stage="evaluation")}

    assert compare(record_of(streams), record_of(moved)).verdict == "different"


def test_a_rename_leaves_streams_of_others_alone():
    """A buffer `count` that is renamed is not the `count` of an evaluation."""
    streams = {"evaluation/count": series(5, stage="evaluation")}
    one = record_of(streams, structure={"count": entry(())})

    assert compare(one, record_of(streams, structure={"seen": entry(())})).verdict == "same"


def put_back(*distances, loss=1.0, calibrated=True, structure=None, **changes):
    """A float32 baseline, calibrated or not, and a record that was put back on its states at some distances."""
    measured = Calibration(
        states="0" * 64,
        steps=(0, 1, 2),
        margin=3.0,
        variants=("2 threads",),
        largest={"distance/weight": (0.125,), "loss": (0.125,)},
    )
    calibration = measured if calibrated else None
    parts = {"precision": "float32", **({"structure": structure} if structure else {})}
    streams = {"loss": series(loss), "distance/weight/w": series(*distances, stage="state")}
    return baseline_of({"loss": series(1.0)}, calibration=calibration, **parts), record_of(streams, **parts, **changes)


@pytest.mark.parametrize(
    ("distances", "verdict"),
    [
        ((0.0, 0.0), "same"),
        ((0.0, 0.375), "drift"),
        ((0.0, 0.376), "different"),
        ((math.nan, 0.0), "different"),
        ((0.0, math.inf), "different"),
        ((1.0, 0.0), "different"),
    ],
)
def test_distances_are_held_against_zero(distances, verdict):
    """Only the put-back record has them: the baseline was at no distance from itself, and they are no extra stream."""
    comparison = compare(*put_back(*distances))

    assert comparison.verdict == verdict
    assert all(d.divergence.stream == "distance/weight/w" and d.baseline == 0.0 for d in comparison.deviations)


def started_elsewhere(stream, **changes):
    """A float32 baseline with a trained tensor `w`, and a record put back on its states that has one more stream."""
    structure = {"w": entry((1,), group="w")}
    baseline, record = put_back(0.0, structure=structure, **changes)
    streams = {**record.streams, stream: series(0.5, stage="init" if "/init/" in stream else "state")}
    return baseline, dataclasses.replace(record, streams=streams)


def test_another_start_that_moves_nothing_else_is_drift_after_being_put_back_too():
    """It stayed where it started for a segment, and the losses did not tell."""
    assert compare(*started_elsewhere("distance/init/w")).verdict == "drift"
    assert compare(*started_elsewhere("distance/init/w", loss=1.5)).verdict == "different"


def test_a_later_distance_is_never_harmless():
    """It tells that an update went elsewhere, and is put back before the losses can tell."""
    assert compare(*started_elsewhere("distance/weight/w")).verdict == "different"


def test_another_start_of_what_nothing_trains_is_different():
    """BatchNorm's state, say."""
    assert compare(*started_elsewhere("distance/init/running_mean")).verdict == "different"


@pytest.mark.parametrize("environment", [{"torch": "2"}, {"torch": "3"}])
def test_calibrated_thresholds_hold_wherever_a_record_was_put_back(environment):
    """The machine that made the baseline has no sharper and no blunter gate than another."""
    assert compare(*put_back(0.0, loss=1.3, environment=environment)).verdict == "drift"
    assert compare(*put_back(0.0, loss=1.4, environment=environment)).verdict == "different"


def test_a_record_that_ran_free_is_not_judged_by_calibrated_thresholds():
    """They hold from state to state only."""
    baseline, record = put_back(0.0, loss=1.3)
    free = dataclasses.replace(record, streams={"loss": record.streams["loss"]})

    assert compare(baseline, free).verdict == "different"


def test_a_baseline_without_thresholds_lends_none():
    """Put back or not, what was not calibrated is exact."""
    assert compare(*put_back(0.0, loss=1 + 1e-6, calibrated=False)).verdict == "different"


def test_a_deviation_says_where_its_threshold_comes_from():
    """What the variants showed, and how many steps after a state."""
    comparison = compare(*put_back(0.0, 0.0, 0.5))

    assert comparison.deviations[0].threshold == 0.375
    assert (comparison.deviations[0].limit.measured, comparison.deviations[0].limit.place) == (0.125, 0)


KINDS_AND_STAGES = {
    "init/w": "init",
    "gradient/w": "backward",
    "update/w": "update",
    "weight/w": "state",
    "buffer/mean": "state",
    "optimizer/w/exp_avg": "state",
    "batch/size": "data",
    "learning_rate/w": "schedule",
    "penalty": "forward",
    "optimizer_steps": "update",
    "evaluation/loss": "evaluation",
}
"""A stream of every kind, and its stage."""


def with_and_without(name, kinds):
    """A record with one stream more, whose recorder knew all kinds, and one without it, whose recorder knew some."""
    loss = {"loss": series(1.0)}
    return record_of({**loss, name: series(1.0, 2.0, stage=KINDS_AND_STAGES[name])}), record_of(loss, kinds=kinds)


def kind_of(name):
    """The kind of a stream, from its name."""
    return "logged" if name == "penalty" else name.partition("/")[0]


@pytest.mark.parametrize("newer", ["record", "baseline"])
@pytest.mark.parametrize("name", [name for name in KINDS_AND_STAGES if name != "penalty"])
def test_a_kind_that_one_recorder_did_not_know_is_a_note(name, newer):
    """A later version records more, a former one less: neither makes a training another."""
    kinds = tuple(kind for kind in KINDS if kind != kind_of(name))
    more, less = with_and_without(name, kinds)
    comparison = compare(less, more) if newer == "record" else compare(more, less)

    assert (comparison.verdict, comparison.unknown) == ("same", (name,))
    assert comparison.streams == {"loss"}
    assert comparison.largest == 0.0
    assert note(comparison).endswith(
        f" values; 1 stream not compared, of a kind that one version does not record ({kind_of(name)})"
    )


@pytest.mark.parametrize("newer", ["record", "baseline"])
@pytest.mark.parametrize("name", KINDS_AND_STAGES)
def test_a_stream_of_a_known_kind_that_is_missing_or_extra_is_red(name, newer):
    """Both recorders knew the kind: one training had such a number, the other had none."""
    more, less = with_and_without(name, KINDS)
    comparison = compare(less, more) if newer == "record" else compare(more, less)

    assert (comparison.verdict, comparison.unknown) == ("different", ())
    assert comparison.first_divergence == (0, KINDS_AND_STAGES[name], name)
    assert comparison.largest == math.inf


def test_an_unknown_kind_hides_no_other_deviation():
    """The rest is compared, and a failure says what was not."""
    more, less = with_and_without("buffer/mean", tuple(kind for kind in KINDS if kind != "buffer"))
    moved = dataclasses.replace(more, streams={**more.streams, "loss": series(2.0), "buffer/variance": series(1.0)})
    comparison = compare(less, moved)

    assert comparison.first_divergence == (0, "forward", "loss")
    line = "  unknown    2 streams not compared, of a kind that one version does not record (buffer)"
    assert line in failure(comparison).splitlines()


def test_a_stream_that_both_have_is_compared_whatever_their_recorders_knew():
    """What is there on both sides needs no recorder's word."""
    moved = [record_of({"buffer/mean": series(value, stage="state")}, kinds=()) for value in (1.0, 2.0)]

    assert compare(*moved).first_divergence == (0, "state", "buffer/mean")
    assert compare(*moved).unknown == ()


# --- what names causes


def with_clues(losses, **clues):
    """A record with a loss, and with clues: name to stage, step and value."""
    named = {name.replace("__", "/"): Stream(stage, (step,), (value,)) for name, (stage, step, value) in clues.items()}
    return record_of({"loss": series(*losses)}, clues=named)


CLUES = {
    "module__norm": ("structure", 0, "BatchNorm2d(8, eps=1e-05)", "BatchNorm2d(8, eps=0.001)"),
    "setting__w__momentum": ("schedule", 0, 0.9, 0.89),
    "random__torch": ("data", 1, "0f", "1e"),
    "mode__model": ("evaluation", 0, "evaluation", "training"),
    "output__act": ("forward", 1, 1.0, 1.5),
}
"""Name to stage, step, and a value before and after."""


@pytest.mark.parametrize("name", CLUES)
def test_a_clue_names_the_cause(name):
    """What was set up otherwise in the step of the first deviation, or the one before, is told first."""
    stage, step, before, now = CLUES[name]
    former = with_clues((1.0, 2.0), **{name: (stage, step, before)})
    comparison = compare(former, with_clues((1.0, 3.0), **{name: (stage, step, now)}))

    assert comparison.first_divergence == (step, stage, name.replace("__", "/"))
    assert comparison.deviations[0].divergence == (1, "forward", "loss")


@pytest.mark.parametrize("name", CLUES)
def test_a_clue_alone_is_no_difference(name):
    """A fused optimizer, more workers, another class of the same numbers: nothing moved."""
    stage, step, before, now = CLUES[name]
    records = (with_clues((1.0, 2.0), **{name: (stage, step, value)}) for value in (before, now))

    assert (compare(*records).verdict, compare(former := with_clues((1.0,)), former).cause) == ("same", None)


@pytest.mark.parametrize("step", [0, 3])
def test_what_was_set_up_long_before_or_later_is_no_cause(step):
    """Numbers that stayed equal for two steps show that a setting had no effect; what comes later had none either."""
    former, present = (
        with_clues((1.0, 1.0, loss, 1.0), setting__w__momentum=("schedule", step, value))
        for value, loss in ((0.9, 1.0), (0.8, 2.0))
    )

    assert compare(former, present).first_divergence == (2, "forward", "loss")


def test_a_configuration_is_a_cause_at_any_step():
    """The length of a warm-up shows when it ends."""
    former, present = (
        record_of({"loss": series(1.0, 1.0, 1.0, loss)}, recipe={"warmup": steps})
        for steps, loss in ((3, 1.0), (4, 2.0))
    )

    assert compare(former, present).first_divergence == (0, "structure", "config/warmup")


def test_a_module_that_left_earlier_without_effect_is_no_cause():
    """It was written in another way; what moves the loss is elsewhere."""

    def record(loss, output):
        clues = {"output/act": Stream("forward", (0, 1, 2), (output,) * 3)}
        return record_of({"loss": series(1.0, 1.0, loss)}, clues=clues)

    assert compare(record(1.0, 1.0), record(2.0, 3.0)).first_divergence == (2, "forward", "loss")


def test_a_key_of_a_configuration_that_is_only_new_stands_back():
    """What was added, or dropped, is told where nothing else is."""
    clue = {"setting__w__momentum": (0.9, 0.8)}
    former, present = (
        dataclasses.replace(
            with_clues((loss,), **{name: ("schedule", 0, values[now]) for name, values in clue.items()}), recipe=recipe
        )
        for now, loss, recipe in ((0, 1.0, {}), (1, 2.0, {"extra": 1}))
    )

    assert compare(former, present).first_divergence.stream == "setting/w/momentum"


def test_the_largest_rate_of_a_schedule_is_told_before_what_follows_from_it():
    """`initial_lr` is computed from `max_lr`."""
    former, present = (
        with_clues((loss,), setting__w__initial_lr=("schedule", 0, rate), setting__w__max_lr=("schedule", 0, rate))
        for loss, rate in ((1.0, 0.1), (2.0, 0.12))
    )

    assert compare(former, present).first_divergence.stream == "setting/w/max_lr"


@pytest.mark.parametrize(
    ("now", "change"),
    [
        ("evaluation, gradients on", "training -> evaluation"),
        ("training but bn evaluation, gradients on", "bn evaluation"),
        ("training, gradients off", "gradients on -> gradients off"),
    ],
)
def test_the_short_line_of_a_mode_holds_what_differs(now, change):
    """Of sixty characters none is spent on what is equal."""
    former, present = (
        with_clues((loss,), mode__model=("data", 0, mode))
        for loss, mode in ((1.0, "training, gradients on"), (2.0, now))
    )

    assert cause(compare(former, present)) == f"step 0, mode of model: {change}"


def test_a_switch_of_the_implementation_is_the_last_cause():
    """A fused optimizer hardly moves anything; momentum does."""
    clues = {"setting__w__fused": (False, True), "setting__w__momentum": (0.9, 0.8)}
    former, present = (
        with_clues((loss,), **{name: ("schedule", 0, values[now]) for name, values in clues.items()})
        for now, loss in ((0, 1.0), (1, 2.0))
    )

    assert compare(former, present).first_divergence.stream == "setting/w/momentum"


def test_a_failure_tells_the_cause_and_what_it_moves():
    """The headline is the cause's, and so are its numbers; what differs stands below."""
    former, present = (
        with_clues((loss,), setting__w__momentum=("schedule", 0, value)) for value, loss in ((0.9, 1.0), (0.8, 2.0))
    )
    lines = failure(compare(former, present)).splitlines()

    assert lines[0] == "training differs from its baseline from step 0 on: schedule, momentum of w"
    assert "  first      step 0   baseline 0.9   now 0.8" in lines
    assert "  moves      forward, loss, step 0   baseline 1   now 2   (1.0e+00, threshold 1e-10)" in lines


@pytest.mark.parametrize("losses", [(1.0, 2.0), (1.0, 1.0)], ids=["red", "green"])
def test_deviations_are_computed_once(monkeypatch, losses):
    """Whatever is asked of a comparison afterwards, and however often, is read off what `compare` found."""
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return stream_deviations(*arguments)

    for module in ("comparison", "deviations", "variants"):
        monkeypatch.setattr(f"harness.comparing.{module}.stream_deviations", counted)
    comparison = compare(*(record_of({"loss": series(1.0, loss)}) for loss in losses))
    assert len(calls) == 1

    for _ in range(2):
        for asked in ("deviations", "verdict", "growth", "largest", "unchanged", "first_divergence", "streams"):
            getattr(comparison, asked)
        for worded in (failure, note, difference):
            worded(comparison)
    assert comparison.deviations is comparison.deviations
    assert len(calls) == 1


def test_a_class_of_another_name_is_the_last_cause():
    """A refactoring may rename it; what a module computes tells more."""
    clues = {"module__block": ("structure", ("Block()", "Residual()")), "output__block.act": ("forward", (1.0, 2.0))}
    former, present = (
        with_clues((loss,), **{name: (stage, 0, values[now]) for name, (stage, values) in clues.items()})
        for now, loss in ((0, 1.0), (1, 2.0))
    )

    assert compare(former, present).first_divergence.stream == "output/block.act"


def test_renamed_parts_of_a_batch_are_a_note():
    """The same numbers under another key are the same; other numbers are not."""
    parts = {"": ("ab",), " order": ("cd",), " shape": ("8x6",)}
    former, present, moved = (
        record_of(
            {f"batch/{name}{end}": Stream("data", (0,), (*text[:-1], text[-1] + more)) for end, text in parts.items()}
        )
        for name, more in (("x", ""), ("inputs", ""), ("inputs", "x"))
    )

    assert (compare(former, present).verdict, compare(former, present).renamed[0]) == ("same", ("x", "inputs"))
    assert compare(former, moved).verdict == "different"
