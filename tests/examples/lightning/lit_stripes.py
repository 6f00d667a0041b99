"""A LightningModule and its data: a small CNN on striped images."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def stripes(count, seed):
    """Noisy images of upright (class 0) or level (class 1) stripes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    upright_HW = (torch.arange(8) % 2).float().expand(8, 8)
    clean_NHW = torch.stack([upright_HW.T if label else upright_HW for label in labels])
    noise_NHW = torch.rand(count, 8, 8, generator=generator, dtype=torch.float32)
    return TensorDataset((clean_NHW + noise_NHW)[:, None], labels)


class Stripes(LightningDataModule):
    """Batches to train and to validate on, in float32 as data mostly are."""

    def train_dataloader(self):
        """Shuffled, the last batch smaller."""
        return DataLoader(stripes(44, seed=1), batch_size=8, shuffle=True)

    def val_dataloader(self):
        """In order."""
        return DataLoader(stripes(32, seed=2), batch_size=16)


class LitClassifier(LightningModule):
    """A convolution with BatchNorm, and a classifier."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(144, 2)
        )

    def training_step(self, batch, batch_index):
        """Cross-entropy."""
        images, labels = batch
        loss = functional.cross_entropy(self.net(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_index):
        """Accuracy."""
        images, labels = batch
        self.log("val_accuracy", (self.net(images).argmax(1) == labels).double().mean())

    def configure_optimizers(self):
        """AdamW, warmed up over an epoch."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=5)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def fit(**options):
    """Train for three epochs; options are those of Lightning's Trainer."""
    trainer = Trainer(max_epochs=3, gradient_clip_val=1.0, accumulate_grad_batches=2, **options)
    trainer.fit(LitClassifier(), datamodule=Stripes())
    return trainer
