"""A training script: a small CNN on striped images, with everything in one function."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def stripes(count, seed):
    """Noisy images of upright (class 0) or level (class 1) stripes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    upright_HW = (torch.arange(8) % 2).double().expand(8, 8)
    clean_NHW = torch.stack([upright_HW.T if label else upright_HW for label in labels])
    noise_NHW = torch.rand(count, 8, 8, generator=generator, dtype=torch.float64)
    return TensorDataset((clean_NHW + noise_NHW)[:, None], labels)


def build():
    """A convolution with BatchNorm, and a classifier."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def train(epochs=3, recorder=None):
    """Train, evaluate after each epoch, and return the last accuracy."""
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    train_loader = DataLoader(stripes(44, seed=1), batch_size=8, shuffle=True)
    test_images, test_labels = stripes(32, seed=2).tensors
    recorder and recorder.watch(model, optimizer)
    for _ in range(epochs):
        model.train()
        for images, labels in train_loader:
            recorder and recorder.batch(images, labels)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels, label_smoothing=0.1)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            recorder and recorder.log(loss=loss)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(test_images).argmax(1) == test_labels).double().mean().item()
        recorder and recorder.evaluation(accuracy=accuracy)
    return accuracy


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    raise SystemExit(f"accuracy {train():.2f}")
