"""A small CNN on noisy stripes, trained by a Trainer class with an evaluation after each epoch."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


recorder = globals().get("recorder")  # harness


def stripes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    upright = (torch.arange(8) % 2).to(torch.get_default_dtype()).expand(8, 8)
    images = torch.stack([upright.T if label else upright for label in labels])
    return TensorDataset((images + torch.rand(count, 8, 8, generator=generator))[:, None], labels)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(36, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(self.drop(x.flatten(1)))


class Trainer:
    def __init__(self, model, train_set, test_set, lr=0.05, epochs=3, batch_size=12):
        self.model = model
        self.train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
        self.test_loader = DataLoader(test_set, batch_size=32)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=2, gamma=0.1)
        self.epochs = epochs
        recorder and recorder.watch(self.model, self.optimizer)  # harness

    def train_epoch(self):
        self.model.train()
        for images, labels in self.train_loader:
            recorder and recorder.batch(images, labels)  # harness
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            recorder and recorder.log(loss=loss)  # harness

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        hits = sum((self.model(images).argmax(1) == labels).sum().item() for images, labels in self.test_loader)
        return hits / len(self.test_loader.dataset)

    def fit(self):
        for epoch in range(self.epochs):
            self.train_epoch()
            self.scheduler.step()
            accuracy = self.evaluate()
            recorder and recorder.evaluation(accuracy=accuracy)  # harness
            print(f"epoch {epoch} accuracy {accuracy:.3f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    Trainer(Net(), stripes(36, seed=1), stripes(24, seed=2)).fit()
