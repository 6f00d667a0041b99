"""Denoising diffusion of points on two moons: noise prediction, random time steps, a sample at the end."""

import math

import torch
from torch import nn
from torch.nn import functional as F


recorder = globals().get("recorder")  # harness

T = 20
betas = torch.linspace(1e-3, 0.2, T)
alphas = 1 - betas
alpha_bars = torch.cumprod(alphas, dim=0)


class Denoiser(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.time = nn.Linear(8, width)
        self.inner = nn.Linear(2, width)
        self.outer = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, x, t):
        frequencies = torch.exp(torch.arange(4) * -math.log(100) / 4)
        angles = t[:, None] * frequencies
        return self.outer(self.inner(x) + self.time(torch.cat([angles.sin(), angles.cos()], dim=1)))


def moons(count):
    angles = torch.rand(count) * math.pi
    upper = torch.rand(count) < 0.5
    x = torch.where(upper, angles.cos(), 1 - angles.cos())
    y = torch.where(upper, angles.sin(), 0.5 - angles.sin())
    return torch.stack([x, y], dim=1)


def add_noise(x, noise, t):
    bar = alpha_bars[t][:, None]
    return bar.sqrt() * x + (1 - bar).sqrt() * noise


@torch.no_grad()
def sample(model, count):
    x = torch.randn(count, 2)
    for t in reversed(range(T)):
        noise = model(x, torch.full((count,), t))
        x = (x - betas[t] / (1 - alpha_bars[t]).sqrt() * noise) / alphas[t].sqrt()
        if t > 0:
            x = x + betas[t].sqrt() * torch.randn_like(x)
    return x


torch.manual_seed(0)
model = Denoiser()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
recorder and recorder.watch(model, optimizer)  # harness
for step in range(10):
    clean = moons(32)
    t = torch.randint(0, T, (len(clean),))
    noise = torch.randn_like(clean)
    noisy = add_noise(clean, noise, t)
    recorder and recorder.batch([clean, noisy], t)  # harness
    loss = F.mse_loss(model(noisy, t), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    recorder and recorder.log(loss=loss)  # harness
spread = sample(model, 8).std()
recorder and recorder.evaluation(spread=spread)  # harness
print(f"loss {loss.item():.4f} spread of samples {spread.item():.4f}")
