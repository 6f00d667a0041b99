"""Programs on frameworks that a launcher starts: each rank saves its record.

torchrun --nproc_per_node=2 -m tests.adapters.distributed accelerate FOLDER
"""

import os
import sys
import tempfile

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from harness import Recorder


RANK, RANKS = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
SAMPLES, BATCH, CLIP = 256, 64, 0.2


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


def accelerate(recorder):
    """A loop on Accelerate, with clipping."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = DataLoader(Samples(), BATCH // RANKS, shuffle=True, generator=torch.Generator().manual_seed(7))
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    recorder.watch(model, optimizer)
    for _ in range(2):
        for batch in loader:
            recorder.batch(batch["inputs"], batch["labels"])
            loss = model(**batch)["loss"]
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), CLIP)
            recorder.log(loss=loss)
            optimizer.step()
            optimizer.zero_grad()


def trainer(recorder):
    """The Trainer of transformers, which accumulates two micro-batches a step."""
    from transformers import Trainer, TrainingArguments

    from harness.adapters.transformers import TransformersRecorder

    sizes = {"per_device_train_batch_size": BATCH // RANKS // 2, "gradient_accumulation_steps": 2}
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, num_train_epochs=2, max_grad_norm=CLIP, **sizes, **quiet)
        Trainer(Network(), arguments, train_dataset=Samples(), callbacks=[TransformersRecorder(recorder)]).train()


def lightning(recorder):
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
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options = {"accelerator": "cpu", "devices": RANKS, "strategy": "ddp" if RANKS > 1 else "auto", "max_epochs": 2}
    callbacks, quiet = [LightningRecorder(recorder)], dict.fromkeys((*switches, "use_distributed_sampler"), False)
    samples = Samples()
    loader = DataLoader(samples, BATCH // RANKS, sampler=DistributedSampler(samples, RANKS, RANK))
    lightning.Trainer(callbacks=callbacks, gradient_clip_val=CLIP, **options, **quiet).fit(Module(), loader)


def main(program, folder):
    """Run a program and save its record."""
    with Recorder() as recorder:
        globals()[program](recorder)
    recorder.record.save(f"{folder}/rank{RANK}.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
