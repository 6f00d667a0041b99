"""Promises of the Lightning adapter: an existing fit() is recorded like a loop written by hand."""

import importlib
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from harness import Recorder, adapters, compare, errors


lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
from harness.adapters.lightning import LightningRecorder  # noqa: E402 - only where lightning is


pytestmark = pytest.mark.filterwarnings(
    "ignore:.isinstance.treespec, LeafSpec.:FutureWarning",  # Lightning's own calls of torch
    "ignore:.*does not have many workers",  # nor do twenty images need them
)

QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Classifier(lightning.LightningModule):
    """A small network whose step logs in every way that Lightning knows."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    def training_step(self, batch, batch_index):
        """Cross-entropy; the network is called, the module is not."""
        images, labels = batch
        loss = functional.cross_entropy(self.net(images), labels)
        self.log("both", loss, on_step=True, on_epoch=True)
        self.log("epoch", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_index):
        """Cross-entropy again."""
        images, labels = batch
        self.log("val_loss", functional.cross_entropy(self.net(images), labels))

    def test_step(self, batch, batch_index):
        """The mean of the outputs."""
        self.log("test_mean", self.net(batch[0]).mean())

    def configure_optimizers(self):
        """SGD whose rate falls after each epoch."""
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]


def images(count=20, dtype=None):
    """Random images with labels; the last batch is smaller."""
    generator = torch.Generator().manual_seed(count)
    pixels = torch.rand(count, 3, 2, 2, dtype=dtype, generator=generator)
    return DataLoader(TensorDataset(pixels, torch.randint(3, (count,), generator=generator)), batch_size=8)


def trainer(recorder, *, ignore=(), epochs=2, **options):
    """A quiet Trainer that is recorded."""
    callbacks = [LightningRecorder(recorder, ignore=ignore)]
    return lightning.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=callbacks, **QUIET, **options)


def fit(module=Classifier, *, validation=True, dtype=None, ignore=(), **options):
    """Record a fit."""
    with Recorder() as recorder:
        loaders = (images(dtype=dtype), images(8, dtype=dtype)) if validation else (images(dtype=dtype),)
        trainer(recorder, ignore=ignore, **options).fit(module(), *loaders)
    return recorder.record


def by_hand():
    """The same training as a plain loop: two micro-batches a step, gradients clipped."""
    with Recorder() as recorder:
        module = Classifier()
        (optimizer,), (scheduler,) = module.configure_optimizers()
        recorder.watch(module, optimizer)
        for _ in range(2):
            loader = images()
            for index, (pixels, labels) in enumerate(loader, start=1):
                recorder.batch(pixels, labels)
                loss = functional.cross_entropy(module.net(pixels), labels) / 2
                recorder.log(loss=loss, both_step=loss * 2)
                loss.backward()
                if index % 2 == 0 or index == len(loader):
                    nn.utils.clip_grad_norm_(module.parameters(), 0.5)
                    optimizer.step()
                    optimizer.zero_grad()
            scheduler.step()
            module.eval()
            with torch.no_grad():
                for pixels, labels in images(8):
                    recorder.evaluation(val_loss=functional.cross_entropy(module.net(pixels), labels))
            module.train()
    return recorder.record


def test_a_fit_is_recorded_like_a_loop_by_hand():
    """Accumulation, clipping, schedule and validation: every stream that the loop has, to the last bit."""
    record = fit(accumulate_grad_batches=2, gradient_clip_val=0.5)

    extra = {"evaluation/both_epoch", "evaluation/epoch"}  # means over an epoch, which the loop does not compute
    deviations = compare(by_hand(), record).deviations
    assert {deviation.stream for deviation in deviations} == extra
    assert record.streams["loss"].steps == (0, 0, 1, 2, 2, 3)
    assert record.streams["evaluation/val_loss"].steps == record.streams["evaluation/epoch"].steps == (1, 3)


def test_a_fit_repeats_itself_to_the_last_bit():
    """The same fit gives the same text."""
    assert fit().to_text() == fit().to_text()


def test_a_resumed_fit_goes_on_where_the_first_stopped(tmp_path):
    """One epoch, a checkpoint, everything built anew, another epoch: the numbers of two epochs at one go."""
    with Recorder() as recorder:
        first = trainer(recorder, epochs=1)
        first.fit(Classifier(), images(), images(8))
        first.save_checkpoint(tmp_path / "last.ckpt")
        trainer(recorder).fit(Classifier(), images(), images(8), ckpt_path=tmp_path / "last.ckpt")

    assert {deviation.stage for deviation in compare(fit(), recorder.record).deviations} == {"init"}


def test_a_module_that_is_fitted_again_goes_on():
    """A second fit of the same module is more steps of the same training, also with the very same optimizer."""

    class Keeping(Classifier):
        def __init__(self):
            super().__init__()
            self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

        def configure_optimizers(self):
            return self.optimizer

    with Recorder() as recorder:
        module, training = Keeping(), trainer(recorder, epochs=1)
        training.fit(module, images(), images(8))
        training.fit_loop.max_epochs = 2
        training.fit(module, images(), images(8))

    assert recorder.record.num_steps == 6


def test_several_loaders_are_recorded():
    """Two loaders to train on, two to validate on: every number of each, by its own name."""

    class Both(Classifier):
        def training_step(self, batch, batch_index):
            return sum(functional.cross_entropy(self.net(pixels), labels) for pixels, labels in batch.values())

        def validation_step(self, batch, batch_index, dataloader_idx=0):
            super().validation_step(batch, batch_index)

    with Recorder() as recorder:
        trainer(recorder, epochs=1).fit(Both(), {"a": images(), "b": images(16)}, [images(8), images(16)])
    streams = recorder.record.streams

    assert {
        f"batch/{loader}[{i}]{end}" for loader in "ab" for i in range(2) for end in ("", " order")
    } <= streams.keys()
    assert {f"evaluation/val_loss/dataloader_idx_{i}" for i in range(2)} <= streams.keys()


class Pair(lightning.LightningModule):
    """Two networks, two optimizers, each stepped by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.maker, self.judge = nn.Linear(12, 12), nn.Linear(12, 1)

    def training_step(self, batch, batch_index):
        """A step of each."""
        for name, optimizer, sign in zip(("maker", "judge"), self.optimizers(), (1, -1), strict=True):
            loss = sign * self.judge(self.maker(batch[0].flatten(1))).mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.log(f"{name}_loss", loss)

    def configure_optimizers(self):
        """One optimizer a network."""
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.maker, self.judge)]


def test_several_optimizers_are_one_step():
    """Manual optimization: both losses, both rates, and two optimizer steps a step."""
    record = fit(Pair, validation=False)

    assert set(record.streams["optimizer_steps"].values) == {2}
    assert record.streams["maker_loss"].steps == record.streams["judge_loss"].steps == tuple(range(6))
    assert {"learning_rate/maker.weight", "learning_rate/judge.weight"} <= record.streams.keys()


def test_frozen_parts_have_no_gradients():
    """They stand in the structure as frozen, and their weights are recorded."""

    class Frozen(Classifier):
        def __init__(self):
            super().__init__()
            self.net[1].requires_grad_(False)

    record = fit(Frozen)

    assert not record.structure["net.1.weight"]["requires_grad"]
    assert "gradient/net.1.weight" not in record.streams
    assert set(record.streams["update/net.1.weight"].values) == {0.0}


def test_what_is_ignored_is_not_recorded():
    """A throughput differs between equal runs."""
    streams = fit(ignore=["val_loss", "both_step"]).streams

    assert not {"evaluation/val_loss", "both_step"} & streams.keys()
    assert "loss" in streams


def test_a_test_is_an_evaluation():
    """What `trainer.test` logs belongs to the last step."""
    with Recorder() as recorder:
        module, training = Classifier(), trainer(recorder)
        training.fit(module, images(), images(8))
        training.test(module, images(8), verbose=False)

    assert recorder.record.streams["evaluation/test_mean"].steps == (5,)


def test_float32_data_are_converted_or_named():
    """Lightning converts batches with precision="64-true"; without, the error names the module that got them."""
    with pytest.raises(errors.PrecisionError, match=r"net\.1 \(Linear\) met float32 and float64"):
        fit(dtype=torch.float32, num_sanity_val_steps=0)

    assert fit(dtype=torch.float32, precision="64-true").num_steps == 6


def test_pytorch_lightning_alone_is_enough(monkeypatch):
    """Where Lightning is installed under its other name only, the adapter is a callback of that."""
    for module in [name for name in sys.modules if name.split(".")[0] == "lightning"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(sys.modules, "harness.adapters.lightning")
    monkeypatch.delattr(adapters, "lightning")
    from pytorch_lightning import Callback, LightningModule, Trainer

    adapter = importlib.import_module("harness.adapters.lightning")
    assert issubclass(adapter.LightningRecorder, Callback)

    class Other(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))

        training_step = Classifier.training_step
        configure_optimizers = Classifier.configure_optimizers

    with Recorder() as recorder:
        options = {"callbacks": [adapter.LightningRecorder(recorder)], "max_epochs": 1, "accelerator": "cpu"}
        Trainer(**options, **QUIET).fit(Other(), images())

    assert recorder.record.num_steps == 3


def test_a_loop_on_fabric_is_a_plain_loop():
    """The recorder needs no adapter: it watches model and optimizer, and Fabric wraps them."""

    def record(fabric):
        with Recorder() as recorder:
            model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            recorder.watch(model, optimizer)
            if fabric:
                model, optimizer = fabric.setup(model, optimizer)
            for pixels, labels in images():
                recorder.batch(pixels, labels)
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(pixels), labels)
                fabric.backward(loss) if fabric else loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
        return recorder.record

    fabric = importlib.import_module("lightning.fabric").Fabric(accelerator="cpu", devices=1)
    assert not compare(record(None), record(fabric)).deviations
