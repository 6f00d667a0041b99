"""Programs on frameworks that a launcher starts: each rank saves its record.

torchrun --nproc_per_node=2 -m tests.adapters.distributed accelerate FOLDER
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from harness import Recorder
from tests.distributed.programs import OPTIMIZERS, programs_of


RANK, RANKS = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
SAMPLES, BATCH, EPOCHS = 256, 64, 2


class Samples(Dataset):
    """Random numbers with labels, by name."""

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(SAMPLES, 8, generator=generator, dtype=torch.float64)
        self.labels = torch.randint(3, (SAMPLES,), generator=generator)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "labels": self.labels[index]}


class Network(nn.Module):
    """A small network that computes its loss."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, inputs, labels=None):
        """Loss and logits."""
        logits = self.net(inputs)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def optimizer_of(model, program):
    """The optimizer of a model."""
    kind, options = OPTIMIZERS[program.optimizer]
    return kind(model.parameters(), **options)


def accelerate(recorder, program):
    """A loop on Accelerate."""
    from accelerate import Accelerator

    accelerator, model = Accelerator(cpu=True, gradient_accumulation_steps=program.micro), Network()
    shuffled = {"shuffle": True, "generator": torch.Generator().manual_seed(7)}
    loader = DataLoader(Samples(), BATCH // RANKS // program.micro, **shuffled)
    model, optimizer, loader = accelerator.prepare(model, optimizer_of(model, program), loader)
    recorder.watch(model, optimizer)
    for _ in range(EPOCHS):
        for batch in loader:
            with accelerator.accumulate(model):
                recorder.batch(batch["inputs"], batch["labels"])
                loss = model(**batch)["loss"]
                accelerator.backward(loss)
                if program.clip and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), program.clip)
                recorder.log(loss=loss)
                optimizer.step()
                optimizer.zero_grad()


def transformers(recorder, program):
    """The Trainer of transformers."""
    from transformers import Trainer, TrainingArguments

    from harness.adapters.transformers import TransformersRecorder

    sizes = {"per_device_train_batch_size": BATCH // RANKS // program.micro}
    sizes["gradient_accumulation_steps"] = program.micro
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
    model, callbacks = Network(), [TransformersRecorder(recorder)]
    optimizers = optimizer_of(model, program), None
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, num_train_epochs=EPOCHS, max_grad_norm=program.clip, **sizes, **quiet)
        Trainer(model, arguments, train_dataset=Samples(), callbacks=callbacks, optimizers=optimizers).train()


def lightning(recorder, program):
    """Lightning's Trainer with its strategy `ddp`; the order of the samples is our own, since it shuffles others."""
    import lightning.pytorch as lightning

    from harness.adapters.lightning import LightningRecorder

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = Network()

        def training_step(self, batch, _):
            loss = self.network(**batch)["loss"]
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return optimizer_of(self, program)

    switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options = {"accelerator": "cpu", "devices": RANKS, "strategy": "ddp" if RANKS > 1 else "auto", "max_epochs": EPOCHS}
    options |= {"gradient_clip_val": program.clip or None, "accumulate_grad_batches": program.micro}
    callbacks, quiet = [LightningRecorder(recorder)], dict.fromkeys((*switches, "use_distributed_sampler"), False)
    samples = Samples()
    loader = DataLoader(samples, BATCH // RANKS // program.micro, sampler=DistributedSampler(samples, RANKS, RANK))
    lightning.Trainer(callbacks=callbacks, **options, **quiet).fit(Module(), loader)


def main(library, folder):
    """Run the programs of a library, and save the record of each in a folder of its number."""
    for number, program in enumerate(programs_of(library)):
        with Recorder() as recorder:
            globals()[library](recorder, program)
        place = Path(folder, f"{number}")
        place.mkdir(parents=True, exist_ok=True)
        recorder.record.save(place / f"rank{RANK}.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
