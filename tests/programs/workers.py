"""Image classification whose augmentation runs in the workers of a DataLoader."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


recorder = globals().get("recorder")  # harness


class Digits(Dataset):
    """Bright squares on dark ground; the class is the quarter that they are in."""

    def __init__(self, count, augment):
        self.count, self.augment = count, augment

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        label = i % 4
        image = np.random.RandomState(i).randint(0, 60, (8, 8)).astype(np.uint8)
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 150
        if self.augment and random.random() < 0.5:
            image = np.roll(image, np.random.randint(-1, 2), axis=1)
        return torch.from_numpy(image.copy())[None], label


def seed_worker(worker_id):
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)


def main(epochs=2):
    torch.manual_seed(0)
    loader = DataLoader(
        Digits(36, augment=True),
        batch_size=8,
        shuffle=True,
        num_workers=2,
        worker_init_fn=seed_worker,
        generator=torch.Generator().manual_seed(0),
    )
    model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    recorder and recorder.watch(model, optimizer)  # harness
    for epoch in range(epochs):
        for images, labels in loader:
            recorder and recorder.batch(images, labels)  # harness
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images / 255), labels)
            loss.backward()
            optimizer.step()
            recorder and recorder.log(loss=loss)  # harness
        print(f"epoch {epoch} loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
