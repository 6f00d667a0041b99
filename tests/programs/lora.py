"""Low-rank adaptation, by hand, of a small transformer that is frozen."""

import math

import torch
from torch import nn
from torch.nn import functional as F


recorder = globals().get("recorder")  # harness

VOCABULARY, WIDTH, LENGTH = 11, 16, 8


class LoRALinear(nn.Module):
    def __init__(self, base, rank=2, alpha=4):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x):
        return self.base(x) + self.scale * F.linear(F.linear(x, self.a), self.b)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.mlp = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (part(h).view(*h.shape[:2], 2, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.o(attended)
        return x + self.mlp(x)


class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return x @ self.tokens.weight.T


def add_lora(model):
    model.requires_grad_(False)
    for block in model.blocks:
        block.q = LoRALinear(block.q)
        block.v = LoRALinear(block.v)
    return model


torch.manual_seed(0)
model = add_lora(LM())
trainable = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=1e-2, weight_decay=0.0)
recorder and recorder.watch(model, optimizer)  # harness
for step in range(8):
    tokens = (torch.arange(LENGTH + 1) * torch.randint(1, 4, (6, 1)) + torch.randint(VOCABULARY, (6, 1))) % VOCABULARY
    recorder and recorder.batch(tokens[:, :-1], tokens[:, 1:])  # harness
    loss = F.cross_entropy(model(tokens[:, :-1]).transpose(1, 2), tokens[:, 1:])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    recorder and recorder.log(loss=loss)  # harness
    print(f"step {step} loss {loss.item():.4f}")
