"""The gate of the training script."""

from train import train

from harness import Recorder


def test_training_is_unchanged(training_regression):
    """A change of the script that alters what it trains is red."""
    with Recorder(precision="float64", seed=0) as recorder:
        train(recorder=recorder)
    training_regression.check(recorder.record)
