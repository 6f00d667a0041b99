"""Promises of the Transformers adapter: a Trainer, or a loop on Accelerate, is recorded like a loop written by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from harness import Recorder, compare, errors


transformers = pytest.importorskip("transformers", reason="transformers is not installed")
accelerate = pytest.importorskip("accelerate", reason="accelerate (of transformers[torch]) is not installed")
from harness.adapters.transformers import TransformersRecorder  # noqa: E402 - only where transformers is


class Images(Dataset):
    """Random images with labels."""

    def __init__(self, count=20, dtype=None):
        generator = torch.Generator().manual_seed(count)
        self.pixels = torch.rand(count, 3, 16, 16, dtype=dtype, generator=generator)
        self.labels = torch.randint(3, (count,), generator=generator)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return {"pixel_values": self.pixels[index], "labels": self.labels[index]}


class InOrder(torch.utils.data.IterableDataset):
    """Images that no Trainer shuffles."""

    def __iter__(self):
        images = Images(45)
        return (images[index] for index in range(45))


class Network(nn.Module):
    """A small network that computes its loss, as the models of transformers do."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm1d(16), nn.Linear(16, 3)

    def forward(self, pixel_values, labels=None):
        """Loss and logits."""
        logits = self.head(self.norm(self.stem(pixel_values).flatten(1)).relu())
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def vit():
    """A vision transformer of two small layers, from its configuration."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=16, patch_size=8, num_labels=3, **sizes)
    )


def arguments(folder, **options):
    """Settings of a quiet training on the CPU; two epochs, evaluated after each, unless said otherwise."""
    usual = {"num_train_epochs": 2, "eval_strategy": "epoch", "save_strategy": "no", "per_device_train_batch_size": 8}
    return transformers.TrainingArguments(
        str(folder), use_cpu=True, report_to="none", disable_tqdm=True, **{**usual, **options}
    )


def trainer(recorder, folder, *, build=Network, data=None, loss=None, ignore=(), **options):
    """A Trainer that is recorded."""
    return transformers.Trainer(
        build(),
        arguments(folder, **options),
        train_dataset=data or Images(),
        eval_dataset=Images(8),
        compute_loss_func=loss,
        callbacks=[TransformersRecorder(recorder, ignore=ignore)],
    )


def fit(folder, **options):
    """Record a training."""
    with Recorder() as recorder:
        trainer(recorder, folder, **options).train()
    return recorder.record


def by_hand(folder):
    """A plain loop: six batches in order, two a step, gradients clipped, the rate falling to zero, one evaluation."""
    with Recorder() as recorder:
        model = vit()
        optimizer = transformers.Trainer(model, arguments(folder, eval_strategy="no")).create_optimizer()
        scheduler = LambdaLR(optimizer, lambda step: (3 - step) / 3)
        recorder.watch(model, optimizer)
        batches = list(DataLoader(InOrder(), batch_size=8))
        for pair in zip(batches[::2], batches[1::2], strict=True):
            total = 0.0
            for batch in pair:
                recorder.batch({"pixel_values": batch["pixel_values"]}, batch["labels"])
                loss = functional.cross_entropy(model(batch["pixel_values"]).logits, batch["labels"], reduction="sum")
                loss = loss / sum(len(each["labels"]) for each in pair)
                loss.backward()
                total += loss.detach()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            recorder.log(loss=total, grad_norm=norm)
            scheduler.step()
        with torch.no_grad():
            images = Images(8)
            logits = model(images.pixels).logits
            recorder.evaluation(eval_loss=functional.cross_entropy(logits, images.labels))
    return recorder.record


def test_a_training_is_recorded_like_a_loop_by_hand(tmp_path):
    """Accumulation, clipping, schedule and evaluation: every stream that the loop has, to the last bit."""
    options = {"max_steps": 3, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 3}
    record = fit(tmp_path, build=vit, data=InOrder(), **options)

    extra = {"learning_rate", "epoch", "evaluation/epoch"}  # the Trainer logs these, too
    assert {deviation.stream for deviation in compare(by_hand(tmp_path), record).deviations} == extra


def test_a_training_repeats_itself_to_the_last_bit(tmp_path):
    """The same training gives the same text: seeds of the Trainer's own and shuffling included, timings left out."""
    record = fit(tmp_path)

    assert record.to_text() == fit(tmp_path).to_text()
    assert {name for name, stream in record.streams.items() if stream.stage == "evaluation"} == {
        "evaluation/eval_loss",
        "evaluation/epoch",
    }
    assert record.streams["batch/size"].values == (8, 8, 4) * 2


def test_a_resumed_training_goes_on_where_the_first_stopped(tmp_path):
    """One epoch, a checkpoint, everything built anew, another epoch: the numbers of two epochs at one go."""

    class Halt(transformers.TrainerCallback):
        def on_epoch_end(self, args, state, control, **kwargs):
            control.should_save = control.should_training_stop = True
            return control

    with Recorder() as recorder:
        first = trainer(recorder, tmp_path, save_strategy="epoch")
        first.add_callback(Halt())
        first.train()
        trainer(recorder, tmp_path, save_strategy="epoch").train(resume_from_checkpoint=True)

    whole = fit(tmp_path)
    assert {deviation.stage for deviation in compare(whole, recorder.record).deviations} == {"init"}


def test_a_model_that_is_trained_again_goes_on(tmp_path):
    """A second call of `train` is more steps of the same training."""
    with Recorder() as recorder:
        training = trainer(recorder, tmp_path)
        training.train()
        training.train()

    assert recorder.record.num_steps == 12
    assert len(recorder.record.streams["batch/size"].values) == 12
    assert set(recorder.record.streams["optimizer_steps"].values) == {1}


def test_frozen_parts_have_no_gradients(tmp_path):
    """They stand in the structure as frozen, and do not move."""

    def build():
        model = Network()
        model.stem.requires_grad_(False)
        return model

    record = fit(tmp_path, build=build)

    assert not record.structure["stem.weight"]["requires_grad"]
    assert "gradient/stem.weight" not in record.streams


def test_what_is_ignored_is_not_recorded(tmp_path):
    """Names of metrics that differ between equal runs."""
    assert not {"epoch", "evaluation/epoch"} & fit(tmp_path, ignore=["epoch"]).streams.keys()


def test_predictions_are_an_evaluation(tmp_path):
    """What `trainer.predict` measures belongs to the last step, and the model's inputs there are no batch."""
    with Recorder() as recorder:
        training = trainer(recorder, tmp_path)
        training.train()
        training.predict(Images(8))

    assert recorder.record.streams["evaluation/test_loss"].steps == (5,)
    assert recorder.record.num_steps == 6


def test_nothing_is_left_on_the_model(tmp_path):
    """Neither after a training nor after one that failed, which may be trained on without a recorder."""
    model = Network().double()
    with pytest.raises(errors.PrecisionError, match=r"^stem \(Conv2d\) met float32 and float64"):
        fit(tmp_path, build=lambda: model, data=Images(dtype=torch.float32))

    assert not model._forward_pre_hooks

    fit(tmp_path, build=lambda: model)

    assert not model._forward_pre_hooks


def language_model():
    """GPT-2, whose loss is computed in float32 whatever the weights are in."""
    sizes = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(bos_token_id=0, eos_token_id=0, **sizes))


class Tokens(Dataset):
    """Sequences to continue."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        tokens = (torch.arange(8) + index) % 20
        return {"input_ids": tokens, "labels": tokens}


def next_token_loss(outputs, labels, num_items_in_batch=None):
    """Cross-entropy in the dtype of the logits."""
    return functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def test_a_language_model_in_float32_is_named_and_helped(tmp_path):
    """The loss inside the model is in float32, which the error says; one of our own makes it float64."""
    options = {"build": language_model, "data": Tokens(), "eval_strategy": "no"}
    with pytest.raises(errors.PrecisionError, match="GPT2LMHeadModel computes in float32"):
        fit(tmp_path, **options)

    record = fit(tmp_path, loss=next_token_loss, **options)
    assert {"batch/labels", "batch/input_ids"} <= record.streams.keys()


class OwnLoss(transformers.Trainer):
    """Takes the labels out itself, as half of the Trainers do."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Cross-entropy of a model that is not given any labels."""
        labels = inputs.pop("labels")
        return next_token_loss(model(**inputs, labels=None), labels)


@pytest.mark.parametrize("who", ["smoothing", "subclass"])
def test_labels_are_recorded_whoever_computes_the_loss(tmp_path, who):
    """Labels that the Trainer keeps from the model: one that is another is a matter of the data, not of the loss."""
    rows = [{"input_ids": (torch.arange(8) + i) % 20, "labels": (torch.arange(8) + i) % 20} for i in range(8)]

    def record():
        with Recorder() as recorder:
            options = {"label_smoothing_factor": 0.1 * (who == "smoothing"), "max_steps": 2, "eval_strategy": "no"}
            kind = OwnLoss if who == "subclass" else transformers.Trainer
            callbacks = [TransformersRecorder(recorder)]
            kind(language_model(), arguments(tmp_path, **options), train_dataset=rows, callbacks=callbacks).train()
        return recorder.record

    before = record()
    rows[3] = {**rows[3], "labels": rows[3]["labels"].index_fill(0, torch.tensor([7]), -100)}

    assert tuple(compare(before, record()).first_divergence) == (0, "data", "batch/labels")
    assert transformers.Trainer._prepare_inputs.__module__ == "transformers.trainer"


def test_labels_of_a_detector_are_recorded():
    """What is given as a list of mappings counts, too; single numbers do not."""
    with Recorder() as recorder:
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        inputs = torch.rand(1, 2)
        labels = [{"boxes": torch.rand(2, 4), "classes": torch.tensor([1, 2])}]
        given = {"labels": labels, "num_items_in_batch": torch.tensor(2)}
        TransformersRecorder(recorder)._batch(model, (inputs,), given)
        model(inputs).sum().backward()
        optimizer.step()
        recorder.log(loss=0.0)

    found = [key for key in recorder.record.streams if key.kind == "batch"]
    names = ("boxes", "classes", "args[0]")
    assert found == [
        "batch/size",
        "batch/args[0] shape",
        *(f"batch/{name}{end}" for name in names for end in ("", " order")),
    ]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_loop_on_accelerate_is_a_plain_loop(when):
    """The recorder needs no adapter: model and optimizer may be watched before or after `prepare`."""

    def record(accelerator):
        with Recorder() as recorder:
            model = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
            optimizer = torch.optim.AdamW(model.parameters())
            loader = DataLoader(Images(), batch_size=8)
            if when == "before" or not accelerator:
                recorder.watch(model, optimizer)
            if accelerator:
                model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
                if when == "after":
                    recorder.watch(model, optimizer)
            for batch in loader:
                recorder.batch(batch["pixel_values"], batch["labels"])
                loss = functional.cross_entropy(model(batch["pixel_values"]), batch["labels"])
                accelerator.backward(loss) if accelerator else loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                recorder.log(loss=loss)
        return recorder.record

    assert not compare(record(None), record(accelerate.Accelerator(cpu=True))).deviations
