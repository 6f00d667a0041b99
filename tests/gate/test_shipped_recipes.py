"""The gate: the shipped recipes on the embedded set and on CIFAR-10, numbers and figures."""

import dataclasses

import pytest

from harness import figures, recipes


@pytest.fixture(scope="module", params=["synthetic", "cifar10"])
def data(request):
    """Name of a data set."""
    return request.param


@pytest.fixture(scope="module", params=["article", "cifar_cnn", "cifar_resnet"])  # the longest first, for two workers
def record(request, training, data):
    """Record of a shipped recipe."""
    return training(getattr(recipes, request.param)(data))


def test_training_is_unchanged(record, training_regression):
    """Every number of the training equals its baseline."""
    training_regression.check(record)


def test_low_precision_training_is_unchanged(training, training_regression):
    """A float32 training stays, from each stored state to the next, within what rounding explains."""
    training_regression.check(training(dataclasses.replace(recipes.cifar_resnet(), precision="float32")))


@pytest.mark.mpl_image_compare
def test_loss_curve(record):
    """The loss curve, and eight digits of every loss, look as before."""
    return figures.loss_curve(record)


@pytest.mark.mpl_image_compare
def test_accuracy_curve(record):
    """The accuracy curve looks as before."""
    return figures.accuracy_curve(record)


@pytest.mark.mpl_image_compare
def test_batch_grid(record):
    """The first augmented images look as before."""
    return figures.batch_grid(record)


@pytest.mark.mpl_image_compare
def test_prediction_grid(record):
    """The same test images are taken for the same classes."""
    return figures.prediction_grid(record)


@pytest.mark.mpl_image_compare
def test_learning_rate_curve(record):
    """The rate of every group, and eight digits of each, look as before."""
    return figures.learning_rate_curve(record)


@pytest.mark.mpl_image_compare
def test_gradient_flow(record):
    """Every layer gets gradients of the same size at every step."""
    return figures.gradient_flow(record)


@pytest.mark.mpl_image_compare
def test_confusion_matrix(record):
    """The same number of test images of each class is taken for each other class."""
    return figures.confusion_matrix(record)


@pytest.mark.mpl_image_compare
def test_filters(record):
    """The first layer has learnt the same filters."""
    return figures.filters(record)
