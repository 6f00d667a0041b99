"""Promises of the wording: what a person reads, to the letter."""

import dataclasses
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import compare
from harness.comparing.deviations import Divergence
from harness.comparing.equivalence import judge
from harness.faults.gate_power import Mutant, Power
from harness.plugin.progress import progress_line
from harness.record import Baseline, Calibration, Stream
from harness.record.stream_text import stream_text
from harness.report.comparison_text import (
    calibration_note,
    cause,
    equivalence_text,
    failure,
    note,
    power_text,
    unjudged_text,
)
from harness.report.words import training_line
from tests.test_record import record_of


def steps(*values, stage):
    """A stream with one value a step."""
    return Stream(stage, tuple(range(len(values))), values)


def a_record(losses=(1.0, 1.0), gradients=(2.0, 2.0), **changes):
    """A record with data, loss, gradient, update and weight of two steps."""
    streams = {
        "batch/size": steps(8, 8, stage="data"),
        "loss": steps(*losses, stage="forward"),
        "gradient/conv3.weight": steps(*gradients, stage="backward"),
        "update/conv3.weight": steps(*(0.1 * g for g in gradients), stage="update"),
        "weight/conv3.weight": steps(*(5.0 - 0.1 * g for g in gradients), stage="state"),
    }
    return record_of(streams, **{"name": "cifar_cnn", "data": {"name": "synthetic"}, **changes})


def words(baseline, record, look=("build/report.html",)):
    """The failure of a comparison."""
    return failure(compare(baseline, record), test="tests/test_a.py::test_b[cpu]", look=look, accept="pytest x")


def test_a_failure_says_what_where_since_when_and_what_to_do():
    """Headline and labelled lines, exactly."""
    record = a_record(gradients=(2.0, 2.5), environment={"torch": "3"})

    assert words(a_record(), record) == (
        "training differs from its baseline from step 1 on: backward, gradient of conv3.weight\n"
        "  recipe     cifar_cnn, synthetic, float64, cpu   tests/test_a.py::test_b[cpu]\n"
        "  first      step 1   baseline 2   now 2.5   (2.5e-01, threshold 1e-10)\n"
        "  then       update of conv3.weight at step 1; norm of conv3.weight at step 1; "
        "3 of 13 values in 3 of 5 streams\n"
        "  unchanged  structure, data, forward\n"
        "  changed    torch 2 -> 3 since the baseline was made\n"
        "  look       build/report.html\n"
        "  accept     pytest x"
    )


def test_a_failure_leaves_out_what_it_has_nothing_to_say_on():
    """No line stands empty: nothing changed around the training, nothing to look at, nothing unchanged."""
    baseline, record = (record_of({}, structure={"w": {"shape": [size]}}) for size in (2, 3))

    assert words(baseline, record, look=()).splitlines()[:3] == [
        "training differs from its baseline from the start: structure, w",
        "  recipe     made, float64, cpu   tests/test_a.py::test_b[cpu]",
        "  first      step 0   baseline shape [2]   now shape [3]",
    ]
    assert [line.split()[0] for line in words(baseline, record, look=()).splitlines()[1:]] == [
        "recipe",
        "first",
        "then",
        "accept",
    ]


def test_a_failure_lists_every_place_to_look():
    """Several files are a line each, in their order."""
    lines = words(a_record(), a_record(losses=(1.0, 3.0)), look=("one.html", "two.png")).splitlines()

    assert lines[-3:] == ["  look       one.html", "  look       two.png", "  accept     pytest x"]


def test_a_failure_names_the_recipes_changed_fields():
    """A changed recipe stands before the environment: it is the likelier cause."""
    baseline = a_record(recipe={"seed": 0, "width": 8})
    record = a_record(losses=(2.0, 2.0), recipe={"seed": 0, "width": 9}, environment={"torch": "3"})

    changed = "  changed    recipe: width 8 -> 9; torch 2 -> 3 since the baseline was made"
    assert changed in words(baseline, record).splitlines()


def test_of_what_follows_only_the_next_two_stages_are_named():
    """The chain from cause to effect is short enough to read."""
    lines = words(a_record(), a_record(losses=(1.0, 1.5), gradients=(2.0, 2.5))).splitlines()

    assert lines[0] == "training differs from its baseline from step 1 on: forward, loss"
    assert lines[3] == (
        "  then       gradient of conv3.weight at step 1; update of conv3.weight at step 1; "
        "4 of 13 values in 4 of 5 streams"
    )


@pytest.mark.parametrize(
    ("baseline", "record", "line"),
    [
        ((1.0, math.pi), (1.0, 3.0), "step 1   baseline 3.14159265359   now 3   (4.5e-02, threshold 1e-10)"),
        ((1.0, 1e-9), (1.0, 0.0), "step 1   baseline 1e-09   now 0   (2.0e-09, threshold 1e-10)"),
        ((1.0, 1.0), (1.0, math.nan), "step 1   baseline 1   now nan"),
        ((1.0, math.inf), (1.0, 1.0), "step 1   baseline inf   now 1"),
        ((1.0, 1.0), (1.0,), "step 1   baseline 1   now nothing"),
        ((1.0,), (1.0, 1.0), "step 1   baseline nothing   now 1"),
        ((1.0, 7), (1.0, 8), "step 1   baseline 7   now 8"),
        ((1.0, "0f"), (1.0, "f0"), "step 1   baseline 0f   now f0"),
    ],
)
def test_the_first_value_stands_beside_its_baseline(baseline, record, line):
    """Numbers with twelve digits and their deviation; what is missing, not finite or no float without one."""
    one, other = (record_of({"loss": steps(*values, stage="forward")}) for values in (baseline, record))

    assert f"  first      {line}" in words(one, other).splitlines()


def test_other_images_are_named_as_the_data_set():
    """The data set's name and fingerprint stand side by side."""
    lines = words(a_record(), a_record(data={"name": "cifar10"})).splitlines()

    assert lines[0] == "training differs from its baseline from step 0 on: data, dataset"
    assert lines[2] == "  first      step 0   baseline name synthetic   now name cifar10"


def test_counts_are_grouped_by_thousands():
    """4 999 values read better than 4999."""
    baseline, record = (record_of({"loss": steps(*[x] * 4999, stage="forward")}) for x in (1.0, 2.0))

    assert "  then       4 999 of 5 002 values in 1 of 1 streams" in words(baseline, record).splitlines()


def test_a_failure_never_counts_more_streams_than_it_says_there_are():
    """Tensors of another shape and the data set deviate too, and are no streams."""
    structure = {name: {"shape": [3]} for name in ("a", "b", "w")}
    record = record_of({"loss": steps(2.0, stage="forward")}, structure=structure, data={"name": "other"})
    baseline = record_of({"loss": steps(1.0, stage="forward")})

    then = next(line for line in words(baseline, record).splitlines() if line.startswith("  then"))
    deviating, _, compared = then.rpartition(" in ")[2].split()[:3]
    assert int(deviating) <= int(compared)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("gradient/conv3.weight", "gradient of conv3.weight"),
        ("update/conv3.weight", "update of conv3.weight"),
        ("weight/conv3.weight", "norm of conv3.weight"),
        ("buffer/norm.running_mean", "norm of buffer norm.running_mean"),
        ("init/conv3.weight", "initial conv3.weight"),
        ("learning_rate/conv1.bias", "learning rate of conv1.bias"),
        ("batch/labels", "labels of the batch"),
        ("batch/order order", "places of the samples in order"),
        ("batch/input ids shape", "shape of input ids in the batch"),
        ("batch/order", "order of the batch"),
        ("evaluation/class_accuracy[3]", "class_accuracy[3] of the evaluation"),
        ("optimizer/conv3.weight/momentum_buffer", "momentum_buffer of conv3.weight"),
        ("optimizer_steps", "optimizer steps"),
        ("loss", "loss"),
        ("dataset", "dataset"),
        ("conv3.weight", "conv3.weight"),
        ("penalty/weights", "penalty/weights"),
        ("distance/weight/conv3.weight", "norm of conv3.weight against the stored state"),
        ("distance/init/conv3.weight", "initial conv3.weight against the stored state"),
        ("distance/optimizer/fc.bias/exp_avg", "exp_avg of fc.bias against the stored state"),
        ("distance/buffer/norm.running_mean", "norm of buffer norm.running_mean against the stored state"),
    ],
)
def test_a_stream_has_words(stream, text):
    """Every kind of stream is named as a person would."""
    assert stream_text(stream) == text


GROUPED = {
    name: {"requires_grad": group is not None or name.startswith("free"), "group": group}
    for name, group in {
        "features.0.weight": "features.0.weight",
        "features.0.bias": "features.0.weight",
        "features.1.mean": None,  # a buffer is no parameter that a group could leave out
        "head.0.weight": "head.0.weight",
        "head.0.bias": "head.0.bias",
        "head.1.weight": "head.0.weight",
        "head.1.bias": "head.0.bias",
        "scale": "scale",
    }.items()
}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("features.0.weight", "features.0.*"),
        ("head.0.weight", "head.0.weight and 1 more"),
        ("scale", "scale"),
        ("unknown", "unknown"),
    ],
)
def test_a_group_is_named_after_what_it_trains(label, words):
    """A prefix if it is shared and no other group's, or else the first tensor and how many more there are."""
    assert stream_text(f"learning_rate/{label}", GROUPED) == f"learning rate of {words}"
    assert stream_text(f"setting/{label}/momentum", GROUPED) == f"momentum of {words}"


def test_a_group_of_everything_is_that_of_all_parameters():
    """Beside frozen tensors that no optimizer holds; of a tensor that is trained by hand, it is not all."""
    held = {name: {"requires_grad": True, "group": "a.w"} for name in ("a.w", "b.w")}
    frozen, by_hand = ({"free.w": {"requires_grad": trained, "group": None}} for trained in (False, True))

    assert stream_text("learning_rate/a.w", held | frozen) == "learning rate of all parameters"
    assert stream_text("learning_rate/a.w", held | by_hand) == "learning rate of a.w and 1 more"


def test_names_keep_their_underscores():
    """As they stand in the code: of a module, of what a loop logs, of a number that rounding moves too far."""
    former, present = (record_of({}, structure={"double_conv.bias": {"shape": [size]}}) for size in (2, 3))

    assert words(former, present).splitlines()[0].endswith(" structure, double_conv.bias")
    assert stream_text("my_loss") == "my_loss"
    assert unjudged_text({"optimizer/exp_avg": 3}).startswith("from step 3 on rounding alone moves optimizer exp_avg ")


@pytest.mark.parametrize(
    ("baseline", "record", "text"),
    [
        ({"gradients": (2.0, 2.0)}, {"gradients": (2.0, 0.0)}, "step 1, gradient of conv3.weight: 2 -> 0"),
        ({}, {"losses": (1.0001, 1.0)}, "step 0, loss: 1 -> 1.0001"),
        ({}, {"losses": (1.0,)}, "step 1, loss: 1 -> nothing"),
        ({}, {"precision": "float32"}, "precision: float64 -> float32"),
        (
            {"data": {"name": "a", "sha256": "0f"}},
            {"data": {"name": "a", "sha256": "1f"}},
            "step 0, dataset: sha256 0f -> 1f",
        ),
        ({"structure": {"w": {"shape": [2]}}}, {"structure": {"w": {"shape": [3]}}}, "w: shape [2] -> [3]"),
    ],
)
def test_a_cause_is_a_line(baseline, record, text):
    """Step, what is first to differ, both values in as few digits as tell them apart."""
    assert cause(compare(a_record(**baseline), a_record(**record))) == text


def test_a_digest_is_no_cause():
    """Two of them tell nobody anything: that there are other labels does. A count is told."""
    sizes, labels = (
        [record_of({name: Stream("data", (3,), (value,))}) for value in values]
        for name, values in {"batch/size": (8, 7), "batch/labels": ("0f", "f0")}.items()
    )

    assert cause(compare(*labels)) == "step 3, labels of the batch changed"
    assert cause(compare(*sizes)) == "step 3, size of the batch: 8 -> 7"


@pytest.mark.parametrize("name", ["block1.conv.weight", 20 * "module." + "weight"])
def test_a_cause_has_at_most_sixty_characters(name):
    """A long name loses its middle, neither what is said of it nor the values."""
    former, present = (
        record_of({f"optimizer/{name}/exp_avg": Stream("state", (12345,), (value,))}) for value in (0.123456789, 0.5)
    )
    text = cause(compare(former, present))

    assert len(text) <= 60
    assert text.startswith(f"step 12345, exp_avg of {name[:8]}")
    assert text.endswith("eight: 0.123 -> 0.5")


def test_drift_that_fails_has_a_line_too():
    """Under --training-strict it has no place to name."""
    former, present = (
        a_record(losses=(loss, 1.0), precision="float32", environment={"cpu": str(loss)}) for loss in (1, 1)
    )

    assert cause(compare(former, present)) == "training drifts, largest deviation 0.0e+00"


@pytest.mark.parametrize(("step", "since"), [(-1, "before step 0"), (0, "from step 0 on"), (12, "from step 12 on")])
def test_what_comes_before_the_first_step_is_said_so(step, since):
    """In the headline, in its row, and in the summary."""
    former, present = (
        record_of({"evaluation/accuracy": Stream("evaluation", (step,), (value,))}) for value in (0.5, 0.25)
    )
    lines, place = words(former, present).splitlines(), "before step 0" if step < 0 else f"step {step}"

    assert lines[0] == f"training differs from its baseline {since}: evaluation, accuracy of the evaluation"
    assert lines[2].startswith(f"  first      {place}   baseline 0.5   now 0.25")
    assert cause(compare(former, present)) == f"{place}, accuracy of the evaluation: 0.5 -> 0.25"


@given(st.one_of(st.text(), st.sampled_from(["optimizer/lr", "optimizer/", "gradient/", "batch/a/b", "evaluation"])))
def test_any_name_that_a_loop_logs_has_words(stream):
    """Names are free in `recorder.log`: none of them may keep a failure from being told."""
    assert isinstance(stream_text(stream), str)


def test_a_failure_against_another_commit_names_it():
    """In place of a stored baseline, of which nobody needs to hear when it was made."""
    baseline = Baseline(a_record(), origin={"made": "today", "commit": "9f8e7d2"})
    text = failure(compare(baseline, a_record(gradients=(2.0, 2.5))), against="main (9f8e7d2)")

    assert text.startswith("training differs from main (9f8e7d2) from step 1 on: backward, gradient of conv3.weight\n")
    assert "made" not in text


def test_other_bits_have_a_place_of_their_own():
    """Where they only drift, it is the headline; a number has as many digits as tell it apart."""
    low = {"precision": "float32", "environment": {"torch": "3"}}
    former, present = a_record(**low), a_record(losses=(1.0, 1 + 2**-23), **(low | {"environment": {"torch": "4"}}))
    comparison = compare(former, present)
    bits = comparison.moved
    place = "from step 1 on: forward, loss"

    assert note(comparison, bits=bits).startswith(
        "cifar_cnn, synthetic, float32, cpu: drift, largest deviation 1.2e-07 in 13 values; "
        f"bits differ {place}, 1 -> 1.0000001 (1.2e-07); "
    )
    text = failure(comparison, against="main (9f8e7d2)", bits=bits)
    assert text.startswith(f"training differs from main (9f8e7d2) in its bits {place}\n")
    assert f"\n  bits       differ {place}, 1 -> 1.0000001 (1.2e-07)\n" in text
    assert cause(comparison, bits) == "step 1, loss: 1 -> 1.0000001"


def test_a_passed_comparison_is_one_line():
    """Verdict, largest deviation and how many values were held against each other."""
    comparison = compare(a_record(), a_record(losses=(1.0, 1 + 1e-12)))

    assert note(comparison) == ("cifar_cnn, synthetic, float64, cpu: same, largest deviation 1.0e-12 in 13 values")


def test_a_finished_training_is_one_line():
    """What, how many steps, the last loss, seconds; and whose, where many have no other name."""
    record = a_record(losses=(2.30258, 1.98766), seconds=3.14)

    assert training_line(record) == "cifar_cnn, synthetic, float64, cpu: 2 steps, loss 1.9877, 3.1 s"
    assert training_line(record, "t.py::test") == f"{training_line(record)}   t.py::test"


def test_a_finished_training_without_a_loss_is_a_line_too():
    """A loop that logged nothing, or no float last, is told without a loss."""
    silent = record_of({"update/w": steps(1.0, stage="update")}, seconds=0.04)
    counted = record_of({"images": steps(8, 8, stage="forward")}, seconds=0.04)

    assert training_line(silent) == "made, float64, cpu: 1 step, 0.0 s"
    assert training_line(counted) == "made, float64, cpu: 2 steps, 0.0 s"


def test_what_of_event_files_is_not_compared_is_said():
    """What the test ignores by name, as far as one reads; values of a training that began anew."""
    streams = {"epoch": steps(1.0, 2.0, stage="forward")}
    names = tuple(f"tag{place}" for place in range(9))
    changes = {
        "source": "event files",
        "ignored": {"t*": names, "tag1": names[1:2]},
        "replaced": {"epoch": 2},
    }
    record = record_of(streams, **changes)
    left_out = (
        "the test ignores 9 of 10 scalars: tag0, tag1, tag2, tag3, tag4, tag5, tag6, tag7 and 1 more; "
        "a later file takes the place of 2 values: epoch"
    )
    other = dataclasses.replace(record, streams={"epoch": steps(1.0, 3.0, stage="forward")})

    assert note(compare(record, record)).endswith(f" in 5 values; {left_out}")
    assert f"\n  left out   {left_out}\n" in words(record, other)
    assert calibration_note(record, None, "t.py::test").endswith(f"1e-06; {left_out}   t.py::test")


def test_what_a_line_calls_a_loss_is_one():
    """A training that logs none, or whose test ignores it, is told by what there is, under its name."""
    record = record_of({"epoch": steps(1.5, stage="forward")}, seconds=0.04)

    assert training_line(record) == "made, float64, cpu: 1 step, epoch 1.5000, 0.0 s"


def test_the_loss_of_a_line_is_the_loss():
    """A loop that logs something else before its loss is told by its loss, as its loss curve is."""
    record = record_of({"penalty": steps(0.25, stage="forward"), "loss": steps(1.5, stage="forward")})

    assert training_line(record) == "made, float64, cpu: 1 step, loss 1.5000, 0.0 s"


def test_a_training_under_way_is_one_line():
    """Step of steps, loss, seconds."""
    line = progress_line("cifar_cnn, synthetic, float64, cpu", 3, 48, 2.302585, 1.49)

    assert line == "training cifar_cnn, synthetic, float64, cpu: step 3/48, loss 2.3026, 1.5 s"


def seeds(**metrics):
    """Summaries of three seeds: each metric's values, seed by seed."""
    names = {name.replace("__", "/"): values for name, values in metrics.items()}
    return {seed: {name: values[seed] for name, values in names.items()} for seed in range(3)}


FORMER = seeds(
    loss=(2.0, 2.1, 1.9),
    evaluation__accuracy=(0.25, 0.27, 0.23),
    gradient_norm=(0.9, 1.0, 0.8),
    penalty=(1.0, 1.0, 1.0),
)


def test_seeds_are_worded_as_headline_table_and_test():
    """What moved stands first; below it every metric with its numbers, the test and the margins."""
    present = seeds(
        loss=(2.5, 2.61, 2.41),
        evaluation__accuracy=(0.351, 0.37, 0.331),
        gradient_norm=(9.0, 9.3, 9.1),
        penalty=(0.5, 1.0, 1.5),
    )

    assert equivalence_text(judge(FORMER, present, 3)) == (
        "worse after 3 of 3 paired seeds: worse in loss; different in gradient_norm; "
        "better in accuracy of the evaluation; inconclusive in penalty\n"
        "  metric                      former  present  difference   interval  corrected  margin  verdict\n"
        "  loss                             2    2.507       +0.51   +-0.0097    +-0.029     0.2  worse\n"
        "  accuracy of the evaluation    0.25   0.3507        +0.1  +-0.00097   +-0.0029    0.04  better\n"
        "  gradient_norm                  0.9    9.133        +8.2     +-0.19     +-0.58     0.2  different\n"
        "  penalty                          1        1          +0     +-0.84      +-2.5    0.01  inconclusive\n"
        "  test    paired t at each seed from the third, error spent over 3: "
        "interval, TOST at 5 %; corrected, 5 % over 4 metrics\n"
        "  margin  where none is given, 2 standard deviations of the baseline's seeds, at least 1 % of their mean"
    )


def test_inconclusive_seeds_say_how_to_go_on(monkeypatch):
    """With more of them, on both versions; where the answer is known there is nothing to run."""
    present = {seed: {"loss": value} for seed, value in enumerate((1.5, 2.1, 2.4))}
    former = {seed: {"loss": metrics["loss"]} for seed, metrics in FORMER.items()}

    assert equivalence_text(judge(former, present, 3), "pytest a", "pytest b").splitlines()[-2:] == [
        "  more    on the former version: pytest a",
        "          then on this one: pytest b",
    ]
    assert "pytest a" not in equivalence_text(judge(former, former, 3), "pytest a", "pytest b")


def test_equivalent_seeds_have_a_short_headline():
    """Nothing moved: there is nothing to name."""
    assert equivalence_text(judge(FORMER, FORMER, 3)).splitlines()[0] == (
        "equivalent after 3 of 3 paired seeds: every metric stays within its margin"
    )


def test_what_is_better_is_named_beside_equivalent():
    """The verdict has no word for it, so the headline has."""
    present = {seed: {**metrics, "loss": metrics["loss"] - 1} for seed, metrics in FORMER.items()}

    assert equivalence_text(judge(FORMER, present, 3)).splitlines()[0] == (
        "equivalent after 3 of 3 paired seeds: better in loss"
    )


CALIBRATION = Calibration(
    states="0" * 64,
    steps=(0, 2),
    margin=3.0,
    variants=("2 threads", "AVX2", "jitter 1"),
    largest={"gradient": (0.0625, 0.125), "loss": (0.25,)},
)


def calibrated(**changes):
    """A float32 record that was put back on its states, at no distance."""
    record = a_record(precision="float32", **changes)
    return dataclasses.replace(
        record, streams={**record.streams, "distance/weight/conv3.weight": steps(0.0, 0.0, stage="state")}
    )


def test_a_failure_says_where_a_calibrated_threshold_comes_from():
    """Its margin, the deviation that was measured, how far from a stored state, and with which variants."""
    baseline = Baseline(a_record(precision="float32"), calibration=CALIBRATION)

    assert words(baseline, calibrated(gradients=(2.0, 3.0))).splitlines()[2:4] == [
        "  first      step 1   baseline 2   now 3   (5.0e-01, threshold 3.8e-01)",
        "  threshold  3 x 1.2e-01, the largest 1 step after a stored state with 2 threads, AVX2, 1 draw of rounding",
    ]


@pytest.mark.parametrize(
    ("baseline", "record"),
    [
        (a_record(precision="float32"), a_record(precision="float32", losses=(1.0, 3.0))),
        (a_record(), a_record(losses=(1.0, 3.0))),
        (Baseline(a_record(precision="float32"), calibration=CALIBRATION), calibrated(losses=(1.0,))),
    ],
    ids=["not calibrated", "float64", "missing"],
)
def test_a_failure_has_no_word_on_a_threshold_that_was_not_calibrated(baseline, record):
    """Nor on what has no size: a step that is missing."""
    assert not [line for line in words(baseline, record).splitlines() if line.startswith("  threshold")]


def test_drift_names_the_largest_threshold_that_it_used():
    """Of the numbers that moved: of another environment's envelope, and of float64 where only weights shifted."""
    low, plain = a_record(precision="float32"), a_record()
    elsewhere = a_record(precision="float32", losses=(1.0, 1.0000001), environment={"torch": "3"})
    one, other = (
        dataclasses.replace(plain, streams={**plain.streams, "weight/w": steps(1.0, value, stage="state")})
        for value in (1.0, 2.0)
    )

    assert "; largest threshold used 6.0e-07, of loss at step 1" in note(compare(low, elsewhere))
    assert "; largest threshold used 1.0e-10, of norm of w at step 1" in note(compare(one, other))
    assert "largest threshold used" not in note(compare(one, one))


def test_drift_that_fails_is_headed_by_its_note():
    """Under --training-strict: there is no place where it begins, and nothing follows."""
    baseline = Baseline(a_record(precision="float32"), calibration=CALIBRATION)

    assert words(baseline, calibrated(losses=(1.0, 1.5))) == (
        "cifar_cnn, synthetic, float32, cpu: drift, largest deviation 5.0e-01 in 15 values; "
        "largest threshold used 7.5e-01, of loss at step 1 (3 x 2.5e-01)\n"
        "  recipe     cifar_cnn, synthetic, float32, cpu   tests/test_a.py::test_b[cpu]\n"
        "  unchanged  structure, data, forward, backward, update, state\n"
        "  look       build/report.html\n"
        "  accept     pytest x"
    )


def test_a_calibrated_baseline_is_one_line():
    """How many states, where the thresholds come from, and of which test: many trainings have one name."""
    one = msgspec.structs.replace(CALIBRATION, steps=(0,), largest={}, variants=("AVX2",))

    assert calibration_note(a_record(precision="float32"), CALIBRATION, "t.py::test") == (
        "cifar_cnn, synthetic, float32, cpu: 2 states stored, thresholds 3 x the largest deviation (2.5e-01) with "
        "2 threads, AVX2, 1 draw of rounding   t.py::test"
    )
    assert calibration_note(a_record(precision="bfloat16"), one) == (
        "cifar_cnn, synthetic, bfloat16, cpu: 1 state stored, thresholds 3 x the largest deviation (0.0e+00) with AVX2"
    )


def test_power_is_a_headline_and_a_line_a_fault():
    """Escapes first, then what was caught and where, then what could not be planted and why."""
    place = Divergence(3, "backward", "gradient/conv3.weight")
    mutants = [
        Mutant("fault-a", planted=True, divergence=place, caught=True),
        Mutant("b", planted=False, reason="no batch is shuffled"),
        Mutant("c", planted=True),
        Mutant("d", planted=True, reason="the training ended with ValueError: no", caught=True),
        Mutant("e", planted=True, divergence=Divergence(0, "init", "init/fc.bias")),
    ]

    assert power_text(Power(a_record(), mutants), "test_a.py::test_b[cpu]") == (
        "gate power 0.50: 2 of 4 planted faults caught   cifar_cnn, synthetic, float64, cpu   test_a.py::test_b[cpu]\n"
        "  c        ESCAPED: it moved nothing beyond the threshold\n"
        "  e        ESCAPED as drift: step 0, init, initial fc.bias\n"
        "  fault-a  caught at step 3, backward, gradient of conv3.weight\n"
        "  d        caught: the training ended with ValueError: no\n"
        "  b        not planted: no batch is shuffled"
    )


def test_power_says_what_is_wrong_with_it():
    """Where less than asked for is caught, or a fault could not be tried, or none could be planted."""
    escaped, absent = Mutant("a", planted=True), Mutant("b", planted=False, reason="no batch")
    failed = Mutant("c", planted=False, reason="planting raised TypeError: no", failed=True)

    def lines(*mutants):
        return power_text(Power(a_record(), mutants), "t", 0.5).splitlines()

    assert lines(escaped)[-1] == "  below training_gate_power_min = 0.5"
    assert lines(failed, escaped)[1:] == [
        "  a  ESCAPED: it moved nothing beyond the threshold",
        "  c  not planted: planting raised TypeError: no",
        "  1 fault could not be tried, which is a failure of training_gate_power_min = 0.5",
    ]
    headline, _, reason = lines(absent)
    assert headline.startswith("gate power: no fault could be planted   cifar_cnn")
    assert reason == "  nothing was planted, which is a failure of training_gate_power_min = 0.5"
    assert len(power_text(Power(a_record(), [absent]), "t").splitlines()) == 2


def test_power_over_one_fault_reads_well():
    """The noun follows the number."""
    text = power_text(Power(a_record(), [Mutant("a", planted=True, caught=True)]), "t")

    assert text.startswith("gate power 1.00: 1 of 1 planted fault caught   ")


@pytest.mark.parametrize(
    ("precision", "why"),
    [("float32", "it stores no states: equal in"), ("float64", "it cannot be run again from outside: 1e-10")],
)
def test_a_note_says_why_nothing_was_measured(precision, why):
    """Low precision needs states for that; what is run again in another way is no reason there."""
    assert f"thresholds not measured, since {why}" in calibration_note(record_of({}, precision=precision), None)
