"""A generative adversarial network on a ring of points: two models, two optimizers."""

import math

import torch
from torch import nn
from torch.nn import functional as F


recorder = globals().get("recorder")  # harness

torch.manual_seed(0)
LATENT, BATCH, STEPS = 4, 16, 8

generator = nn.Sequential(nn.Linear(LATENT, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
discriminator = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(16, 1))
generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=4e-3, betas=(0.5, 0.999))
recorder and recorder.watch(generator, generator_optimizer, name="generator")  # harness
recorder and recorder.watch(discriminator, discriminator_optimizer, name="discriminator")  # harness


def ring(count):
    angles = torch.rand(count) * 2 * math.pi
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


for step in range(STEPS):
    real = ring(BATCH)
    recorder and recorder.batch(real)  # harness
    fake = generator(torch.randn(BATCH, LATENT))

    discriminator_optimizer.zero_grad()
    loss_d = bce(discriminator(real), 0.9) + bce(discriminator(fake.detach()), 0.0)
    loss_d.backward()
    discriminator_optimizer.step()

    generator_optimizer.zero_grad()
    loss_g = bce(discriminator(fake), 1.0)
    loss_g.backward()
    generator_optimizer.step()
    recorder and recorder.log(discriminator=loss_d, generator=loss_g)  # harness
    print(f"step {step} discriminator {loss_d.item():.4f} generator {loss_g.item():.4f}")
