"""Promises of the Ignite adapter: an existing engine is recorded like a loop written by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import ExponentialLR

from harness import Recorder, compare


engines = pytest.importorskip("ignite.engine", reason="pytorch-ignite is not installed")
from ignite.metrics import Accuracy, Loss  # noqa: E402 - only where ignite is

from harness.adapters.ignite import IgniteRecorder  # noqa: E402 - likewise


def build():
    """Model, optimizer, and batches."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    batches = [(torch.rand(size, 3, 2, 2), torch.randint(3, (size,))) for size in (8, 8, 8, 5)]
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), batches


def run(recorder, *, ignore=()):
    """Run an engine whose handlers, an evaluation and a schedule, were there before the recorder's."""
    model, optimizer, batches = build()
    loss, completed = functional.cross_entropy, engines.Events.ITERATION_COMPLETED
    trainer = engines.create_supervised_trainer(model, optimizer, loss, gradient_accumulation_steps=2)
    evaluator = engines.create_supervised_evaluator(model, {"accuracy": Accuracy(), "loss": Loss(loss)})
    scheduler = ExponentialLR(optimizer, 0.9)
    trainer.add_event_handler(completed(every=4), lambda: evaluator.run(batches[:1]))
    trainer.add_event_handler(completed(every=2), lambda: scheduler.step())
    IgniteRecorder(recorder, model, optimizer, ignore=ignore).attach(trainer, validation=evaluator)
    trainer.run(batches, max_epochs=2)
    return trainer, batches


def by_hand():
    """The same training as a plain loop."""
    with Recorder() as recorder:
        model, optimizer, batches = build()
        scheduler = ExponentialLR(optimizer, 0.9)
        recorder.watch(model, optimizer)
        for iteration, (images, labels) in enumerate(batches * 2, start=1):
            recorder.batch(images, labels)
            loss = functional.cross_entropy(model(images), labels)
            recorder.log(loss=loss)
            (loss / 2).backward()
            if iteration % 2 == 0:
                optimizer.step()
                optimizer.zero_grad()
                scheduler.step()
            if iteration % 4 == 0:
                images, labels = batches[0]
                with torch.no_grad():
                    outputs = model(images)
                accuracy = (outputs.argmax(1) == labels).double().mean()
                recorder.evaluation(validation_accuracy=accuracy)
                recorder.evaluation(validation_loss=functional.cross_entropy(outputs, labels))
    return recorder.record


def test_an_engine_is_recorded_like_a_loop_by_hand():
    """Accumulation, schedule, and an evaluation that comes before the recorder's handler: all to the last bit."""
    with Recorder() as recorder:
        run(recorder)

    comparison = compare(by_hand(), recorder.record)
    assert not comparison.deviations
    assert recorder.record.streams["loss"].steps == (0, 0, 1, 1, 2, 2, 3, 3)


def test_an_engine_that_runs_again_goes_on():
    """A second run of the same engine is more steps of the same training."""
    with Recorder() as recorder:
        trainer, batches = run(recorder)
        trainer.run(batches, max_epochs=3)

    assert recorder.record.num_steps == 6


def test_what_is_ignored_is_not_recorded():
    """Names of metrics that differ between equal runs."""
    with Recorder() as recorder:
        run(recorder, ignore=["accuracy"])

    assert "evaluation/validation_accuracy" not in recorder.record.streams
    assert "evaluation/validation_loss" in recorder.record.streams


@pytest.mark.parametrize(
    ("output", "transform", "name"),
    [
        (lambda loss, outputs: {"loss": loss, "outputs": outputs}, None, "loss"),
        (lambda loss, outputs: (outputs, loss), None, "output[1]"),
        (lambda loss, outputs: (outputs, loss), lambda output: output[1], "loss"),
    ],
    ids=["mapping", "pair", "transformed"],
)
def test_outputs_of_many_forms_have_a_loss(output, transform, name):
    """Of a mapping or a sequence, what is a single number counts; `output_transform` makes one of anything else."""
    with Recorder() as recorder:
        model, optimizer, batches = build()

        def update(_, batch):
            optimizer.zero_grad()
            outputs = model(batch["image"])
            loss = functional.cross_entropy(outputs, batch["label"])
            loss.backward()
            optimizer.step()
            return output(loss, outputs)

        options = {"output_transform": transform} if transform else {}
        trainer = engines.Engine(update)
        IgniteRecorder(recorder, model, optimizer, **options).attach(trainer)
        trainer.run([{"image": images, "label": labels} for images, labels in batches])

    streams = recorder.record.streams
    assert [key for key in streams if streams[key].stage == "forward"] == [name]
    assert len(streams[name].values) == 4
    assert {"batch/image", "batch/labels"} <= streams.keys()


def test_an_engine_without_data_is_recorded():
    """A loop that draws its own batches: there is nothing to fingerprint, and a loss."""
    with Recorder() as recorder:
        model, optimizer, _ = build()

        def update(*_):
            optimizer.zero_grad()
            loss = model(torch.rand(2, 3, 2, 2)).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        trainer = engines.Engine(update)
        IgniteRecorder(recorder, model, optimizer).attach(trainer)
        trainer.run(max_epochs=1, epoch_length=3)

    assert recorder.record.streams["loss"].steps == (0, 1, 2)
    assert not [key for key in recorder.record.streams if key.kind == "batch"]
