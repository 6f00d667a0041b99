"""A regression whose weights are averaged exponentially; the average is what is evaluated."""

import copy

import torch
from torch import nn
from torch.nn import functional as F


recorder = globals().get("recorder")  # harness


class EMA:
    def __init__(self, model, decay):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model):
        for average, weight in zip(self.model.parameters(), model.parameters()):
            average.lerp_(weight, 1 - self.decay)
        for average, buffer in zip(self.model.buffers(), model.buffers()):
            average.copy_(buffer)


def target(x):
    return torch.sin(3 * x).sum(1, keepdim=True)


def main(steps=10):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 24), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 1))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
    ema = EMA(model, decay=0.9)
    recorder and recorder.watch(model, optimizer)  # harness
    recorder and recorder.watch(ema.model)  # harness
    test_x = torch.linspace(-1, 1, 30).view(10, 3)
    for step in range(steps):
        x = torch.rand(16, 3) * 2 - 1
        recorder and recorder.batch(x)  # harness
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), target(x))
        loss.backward()
        optimizer.step()
        ema.update(model)
        recorder and recorder.log(loss=loss)  # harness
        if (step + 1) % 5 == 0:
            error = F.mse_loss(ema.model(test_x), target(test_x)).item()
            print(f"step {step} error of the average {error:.4f}")


if __name__ == "__main__":
    main()
