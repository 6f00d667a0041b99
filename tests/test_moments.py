"""Promises of the order in time: what came first in a training comes first in what is told of it."""

import pytest
import torch
from torch import nn

from harness import Record, Recorder, compare, figures
from harness.report.comparison_text import cause, failure, note


def trained(
    *,
    batches=2,
    steps=3,
    evaluated=0.0,
    loss_factor=lambda step, batch: 1.0,
    scaled_up=(),
    held=lambda parameter: True,
    rate=0.1,
):
    """The record of a loop with micro-batches, a gradient scaler, an evaluation before it all and a frozen layer.

    Args:
        batches: of a step.
        steps: to be taken.
        evaluated: what is added to the evaluation's number; None evaluates nothing.
        loss_factor: of the loss, by step and micro-batch.
        scaled_up: steps whose loss overflows when it is scaled.
        held: which parameters the optimizer holds.
        rate: of the optimizer.
    """
    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD([weight for weight in model.parameters() if held(weight)], lr=rate)
        scaler = torch.amp.GradScaler("cpu")
        recorder.watch(model, optimizer)
        if evaluated is not None:
            with torch.no_grad():
                recorder.log(accuracy=model.eval()(torch.ones(1, 3)).sum() + evaluated)
        model.train()
        for step in range(steps):
            for batch in range(batches):
                images = torch.rand(4, 3)
                recorder.batch(images)
                loss = model(images).square().mean() * loss_factor(step, batch)
                recorder.log(loss=loss)
                scaler.scale(loss * (1e305 if step in scaled_up else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    return recorder.record


def headline(former, present):
    """The first line of what is said of two trainings."""
    return failure(compare(former, present)).partition("\n")[0].removeprefix("training differs from its baseline ")


def test_an_evaluation_before_the_first_step_is_before_step_0():
    """It counts as no step, is named before what it moves, survives the text form, and nothing was unchanged after."""
    former, present = trained(), trained(evaluated=1.0, rate=0.2)

    assert former.streams["evaluation/accuracy"].steps == (-1,)
    assert former.num_steps == 3
    assert Record.from_text(former.to_text()) == former
    assert headline(former, present) == "before step 0: evaluation, accuracy of the evaluation"
    assert compare(former, present).unchanged == ("structure", "init")
    assert figures.accuracy_curve(former, labelled=True).axes[0].get_xlim()[0] == -1.5


def test_other_initial_weights_stand_before_what_is_evaluated_of_them():
    """An evaluation before step 0 is an effect of the weights that a training starts from."""
    former, present = trained(), trained(evaluated=1.0)
    weights = present.streams.find("init/1.weight")
    streams = {**present.streams, "init/1.weight": type(weights)("init", (0,), (weights.values[0] + 1.0,))}
    present = type(present)(**{**vars(present), "streams": streams})

    assert headline(former, present) == "from step 0 on: init, initial 1.weight"


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_a_micro_batch_is_counted_as_its_user_counts_it(batch):
    """Its number and how many there are stand behind the step; later ones, and what the step makes of all, follow."""
    former = trained(batches=4)
    present = trained(batches=4, loss_factor=lambda step, at: 1.5 if (step, at) == (2, batch) else 1.0)

    assert headline(former, present) == f"from step 2, micro-batch {batch + 1} of 4 on: forward, loss"
    assert compare(former, present).deviations[1].stage == "backward"
    assert "then       gradient of 1.weight at step 2" in failure(compare(former, present))


def test_other_data_of_a_later_micro_batch_come_after_the_loss_of_an_earlier_one():
    """In time, the loss of the first stands before the images of the second."""
    former = trained()
    streams = dict(former.streams)
    for name in ("loss", "batch/images"):
        stream = streams[name]
        place = 2 + (name == "batch/images")  # of step 1, the first loss and the second images
        values = [value if at != place else 0.5 for at, value in enumerate(stream.values)]
        streams[name] = type(stream)(stream.stage, stream.steps, tuple(values))
    comparison = compare(former, type(former)(**{**vars(former), "streams": streams}))

    assert [(one.stream, one.moment.batch) for one in comparison.deviations] == [("loss", 0), ("batch/images", 1)]


def test_a_step_that_a_gradient_scaler_leaves_out_is_a_step():
    """Its batches are no micro-batches of the next; it moves nothing, and has no gradients that count."""
    record = trained(scaled_up=(1,))

    assert record.streams["optimizer_steps"].values == (1, 0, 1)
    assert record.streams["batch/size"].steps == (0, 0, 1, 1, 2, 2)
    assert record.streams["gradient/1.weight"].steps == (0, 2)
    assert record.streams["update/1.weight"].values[1] == 0.0
    assert record.streams["learning_rate/0.weight"].steps == (0, 1, 2)
    assert record.non_finite() is None


def test_a_gradient_scaler_is_as_it_was_after_the_block():
    """Nothing of ours stays on torch's class."""
    before = torch.amp.GradScaler.step
    trained(steps=1)

    assert torch.amp.GradScaler.step is before


def test_a_frozen_tensor_that_an_optimizer_lets_go_is_a_note():
    """It changes nothing, whatever group it was in; the rate of what is trained is still compared."""
    former, present = trained(), trained(held=lambda weight: weight.requires_grad)
    comparison = compare(former, present)

    assert (comparison.verdict, comparison.largest) == ("same", 0.0)
    assert "; frozen tensors no longer held by an optimizer: 0.weight, 0.bias" in note(comparison)
    assert "; frozen tensors held by an optimizer: 0.weight, 0.bias" in note(compare(present, former))
    assert headline(former, trained(held=lambda weight: weight.requires_grad, rate=0.2)) == (
        "from step 0 on: schedule, learning rate of all parameters"
    )


def test_a_trained_tensor_that_an_optimizer_lets_go_is_red():
    """It no longer trains, which the structure says."""
    present = trained(held=lambda weight: weight.shape != (2,))

    assert headline(trained(), present) == "from the start: structure, 2.bias"


def adversarial(*, forgets=False, target=1.0, logs_numbers=False):
    """The record of two models whose optimizers step in turn; losses are logged at the end of the step."""
    with Recorder() as recorder:
        one, two = (nn.Linear(2, 2) for _ in range(2))
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (one, two)]
        for name, model, optimizer in zip(("one", "two"), (one, two), optimizers, strict=True):
            recorder.watch(model, optimizer, name=name)
        for _ in range(2):
            noise = torch.rand(4, 2)
            recorder.batch(noise)
            losses = []
            for optimizer, goal in zip(optimizers, (0.0, target), strict=True):
                if not (forgets and optimizer is optimizers[0]):
                    optimizer.zero_grad()
                losses.append((one(two(noise)) - goal).square().mean())
                losses[-1].backward()
                optimizer.step()
            one_loss, two_loss = (loss.item() for loss in losses) if logs_numbers else losses
            recorder.log(one_loss=one_loss, two_loss=two_loss)
    return recorder.record


def test_what_is_computed_after_an_optimizers_step_comes_after_its_gradients():
    """A loss is of the pass that it was made in, whenever it is logged; gradients and updates are so, too."""
    former = adversarial()

    assert [former.streams[name].phases for name in ("one_loss", "two_loss")] == [(), (1,)]
    assert [former.streams[f"update/{name}.weight"].phases for name in ("one", "two")] == [(), (1,)]
    assert headline(former, adversarial(forgets=True)) == "from step 1 on: backward, gradient of one.weight"
    assert headline(former, adversarial(target=2.0)) == "from step 0 on: forward, two_loss"
    assert Record.from_text(former.to_text()) == former


def test_a_number_without_a_gradient_is_of_the_pass_in_which_it_is_logged():
    """Nothing tells when it was made: it is not said to come before what certainly did."""
    numbers, forgetful = (adversarial(logs_numbers=True, forgets=forgets) for forgets in (False, True))

    assert headline(numbers, forgetful) == "from step 1 on: backward, gradient of one.weight"


def accumulated(*, batches=lambda step: 2, factor=lambda step, batch: 1.0, nudged=False, width=lambda step: 3):
    """The record of a loop that evaluates after each step of some micro-batches; one moves weights after step 1."""
    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for step in range(4):
            model.train()
            for batch in range(batches(step)):
                images = torch.ones(4, width(step)) * factor(step, batch)
                recorder.batch(images)
                loss = model(images[:, :2]).square().mean()
                loss.backward()
                recorder.log(loss=loss)
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                model[0].weight *= 1.1 if nudged and step == 1 else 1.0
                recorder.evaluation(value=model.eval()(torch.ones(1, 2)).sum())
    return recorder.record


def test_an_evaluation_after_a_step_comes_after_all_its_micro_batches():
    """It is blamed for nothing that its weights went through, and is no micro-batch."""
    former = accumulated()
    later = accumulated(factor=lambda step, batch: 2.0 if (step, batch) == (1, 1) else 1.0)

    assert headline(former, later) == "from step 1, micro-batch 2 of 2 on: data, images of the batch"
    assert headline(former, accumulated(nudged=True)) == "from step 1 on: update, update of 0.weight"


def test_micro_batches_are_counted():
    """Another number of them is told as such, and not as a batch that nobody had."""
    former, present = accumulated(), accumulated(batches=lambda step: 2 + (step == 2))

    assert cause(compare(former, present)) == "step 2, batches of the step: 2 -> 3"
    assert cause(compare(present, former)) == "step 2, batches of the step: 3 -> 2"


def test_a_shape_holds_until_it_changes():
    """It is recorded as it changes, and told as the two that were there."""
    former, present = accumulated(), accumulated(width=lambda step: 3 + (step == 2))

    assert cause(compare(former, present)) == "step 2, shape of images in the batch: 4x3 -> 4x4"
    assert cause(compare(present, former)) == "step 2, shape of images in the batch: 4x4 -> 4x3"
    assert compare(former, accumulated()).deviations == ()


def resting(*, factors=(1.0, 1.0)):
    """The record of two models of which one steps in odd steps alone, before the other; factors of losses in step 3."""
    with Recorder() as recorder:
        models = rare, steady = [nn.Linear(2, 2) for _ in range(2)]
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
        for name, model, optimizer in zip(("rare", "steady"), models, optimizers, strict=True):
            recorder.watch(model, optimizer, name=name)
        for step in range(5):
            images = torch.rand(4, 2)
            recorder.batch(images)
            for optimizer, factor in [*zip(optimizers, factors, strict=True)][1 - step % 2 :]:
                optimizer.zero_grad()
                loss = rare(steady(images)).square().mean() * (factor if step == 3 else 1.0)
                loss.backward()
                optimizer.step()
                recorder.log(**{"rare_loss" if optimizer is optimizers[0] else "steady_loss": loss})
    return recorder.record


def test_an_optimizer_may_rest_in_some_steps():
    """What it moves, and what others move after it, comes after its cause: the phases are those of each step."""
    former = resting()

    assert former.streams["steady_loss"].phases == (0, 1, 0, 1, 0)
    assert former.streams["update/steady.weight"].phases == (0, 1, 0, 1, 0)
    assert former.streams["rare_loss"].phases == former.streams["update/rare.weight"].phases == ()
    assert headline(former, resting(factors=(1.1, 1.0))) == "from step 3 on: forward, rare_loss"
    assert headline(former, resting(factors=(1.0, 1.1))) == "from step 3 on: forward, steady_loss"
    assert Record.from_text(former.to_text()) == former
