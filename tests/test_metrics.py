"""Promises of the few numbers that a training comes to."""

import math

import pytest

from harness import Recipe, errors, train
from harness.comparing.metrics import summary
from harness.record.streams import Stream
from tests.test_record import record_of


def a_stream(stage, *points):
    """A stream of (step, value) pairs."""
    steps, values = zip(*points, strict=True)
    return Stream(stage, steps, values)


def test_a_logged_number_is_averaged_over_its_last_quarter():
    """Eight values: the mean of the last two; of fewer than four, the last."""
    many = a_stream("forward", *enumerate([9.0] * 6 + [1.0, 2.0]))
    few = a_stream("forward", *enumerate([9.0, 8.0, 3.0]))

    assert summary(record_of({"loss": many, "penalty": few})) == {"loss": 1.5, "penalty": 3.0}


def test_an_evaluation_is_averaged_over_its_last_step():
    """Each batch of an evaluation may be logged by itself; earlier evaluations do not count."""
    losses = a_stream("evaluation", (0, 9.0), (5, 2.0), (5, 4.0))

    assert summary(record_of({"evaluation/loss": losses})) == {"evaluation/loss": 3.0}


def test_the_gradient_norm_is_that_of_all_tensors_together():
    """Root of the sum of squares a step, averaged over the last quarter of the steps."""
    streams = {
        "gradient/a": a_stream("backward", *enumerate([7.0] * 6 + [3.0, 6.0])),
        "gradient/b": a_stream("backward", (6, 4.0), (7, 8.0)),
    }

    assert summary(record_of(streams)) == {"gradient_norm": 7.5}


def test_a_gradient_norm_that_was_logged_is_the_user_s():
    """What a loop logs under that name stands."""
    streams = {"gradient_norm": a_stream("forward", (0, 2.0)), "gradient/a": a_stream("backward", (0, 5.0))}

    assert summary(record_of(streams)) == {"gradient_norm": 2.0}


def test_counts_classes_and_fingerprints_are_left_out():
    """They say how much was looked at, or too little each."""
    streams = {
        "batch/labels": a_stream("data", (0, "00ff00ff00ff00ff")),
        "seen": a_stream("forward", (0, 64)),
        "weight/a": a_stream("state", (0, 1.0)),
        "evaluation/count": a_stream("evaluation", (0, 500)),
        "evaluation/class_accuracy[3]": a_stream("evaluation", (0, 0.5)),
        "evaluation/accuracy": a_stream("evaluation", (0, 0.25)),
    }

    assert summary(record_of(streams)) == {"evaluation/accuracy": 0.25}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_that_diverged_has_no_summary(value):
    """The place is named, in whatever stream it is."""
    record = record_of({"loss": a_stream("forward", (0, 1.0)), "weight/a": a_stream("state", (4, value))})

    with pytest.raises(errors.NonFiniteError, match=f"weight/a is {value} at step 4"):
        summary(record)


def test_a_recipe_s_training_has_six_metrics():
    """Losses, accuracies (of the averaged weights, too) and the gradient norm, of which each is plausible."""
    recipe = Recipe(width=2, epochs=1, train_images=40, test_images=20, batch_size=16, resume=False)
    metrics = summary(train(recipe))

    assert list(metrics) == [
        "loss",
        "evaluation/loss",
        "evaluation/accuracy",
        "evaluation/average_loss",
        "evaluation/average_accuracy",
        "gradient_norm",
    ]
    assert 2.0 < metrics["loss"] < 2.6
    assert 0.0 < metrics["gradient_norm"] < 10.0
