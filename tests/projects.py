"""Texts of a small project that uses the plugin, trained in a fraction of a second. Importing them costs nothing."""

QUICK = ("-p", "no:randomly", "-p", "no:rerunfailures", "-p", "no:hypothesispytest")
"""Options: without plugins that reorder tests, and the one that takes a process two seconds to import."""

SMALL = """
import dataclasses
import pytest
from harness import Recipe, figures

RECIPE = Recipe(model="cifar_cnn", width=2, epochs=2, train_images=20, test_images=20, batch_size=8, warmup_steps=1)
"""

GATE = (
    SMALL
    + """
@pytest.fixture(scope="module")
def record(training):
    return training(RECIPE)

def test_training(record, training_regression):
    training_regression.check(record)

@pytest.mark.mpl_image_compare
def test_loss_curve(record):
    return figures.loss_curve(record)
"""
)

SQUARES = "(model(inputs).squeeze(1) - inputs.sum(1)).square().mean()"
"""What a loop learns, unless it is said."""


def loop_test(
    name="test_loop", loss=SQUARES, model="torch.nn.Linear(4, 1)", *, recorder="", optimizer="", steps=4, imports=""
):
    """Return the text of a test of a loop as everybody writes it; more may be given to its recorder and optimizer."""
    return f"""
import torch
{imports}
from harness import Recorder

def {name}(training_regression):
    with Recorder({recorder}) as recorder:
        model = {model}
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1{optimizer})
        recorder.watch(model, optimizer)
        for step in range({steps}):
            inputs = torch.rand(8, 4)
            recorder.batch(inputs, inputs.sum(1))
            optimizer.zero_grad()
            loss = {loss}
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    training_regression.check(recorder.record)
"""


FAULT = ("warmup_steps=1", "warmup_steps=1, learning_rate=0.25025")
"""An edit of either: the rate is off by one part in a thousand."""
