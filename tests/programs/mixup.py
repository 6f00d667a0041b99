"""Image classification with mixup and label smoothing."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


recorder = globals().get("recorder")  # harness

CLASSES = 3


def mixup(images, labels, alpha):
    lam = np.random.beta(alpha, alpha)
    order = torch.randperm(len(images))
    mixed = lam * images + (1 - lam) * images[order]
    return mixed, labels, labels[order], lam


def blobs(count):
    labels = torch.arange(count) % CLASSES
    images = torch.rand(count, 1, 6, 6)
    for image, label in zip(images, labels):
        image[0, 2 * label : 2 * label + 2] += 1
    return TensorDataset(images, labels)


def train(epochs=2):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 3)
    )
    no_decay = [p for p in model.parameters() if p.ndim == 1]
    decay = [p for p in model.parameters() if p.ndim > 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": no_decay, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3)
    loader = DataLoader(blobs(44), batch_size=8, shuffle=True, drop_last=True)
    recorder and recorder.watch(model, optimizer)  # harness
    for epoch in range(epochs):
        total = 0.0
        for images, labels in loader:
            images, labels_a, labels_b, lam = mixup(images, labels, alpha=0.4)
            recorder and recorder.batch(images, [labels_a, labels_b])  # harness
            logits = model(images)
            loss = lam * F.cross_entropy(logits, labels_a, label_smoothing=0.1)
            loss = loss + (1 - lam) * F.cross_entropy(logits, labels_b, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            recorder and recorder.log(loss=loss)  # harness
            total += loss.item()
        print(f"epoch {epoch} loss {total / len(loader):.4f}")


if __name__ == "__main__":
    np.random.seed(0)
    torch.manual_seed(0)
    train()
