"""A character-level language model as a script with options, warm-up and cosine decay."""

import argparse
import math
import sys

import torch
from torch import nn
from torch.nn import functional as F


recorder = globals().get("recorder")  # harness

TEXT = "the quick brown fox jumps over the lazy dog and runs back to the quick brown fox again and again "


class CharModel(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.rnn = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])


def learning_rate(step, args):
    if step < args.warmup:
        return (step + 1) / args.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - args.warmup) / (args.steps - args.warmup)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--block", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    letters = sorted(set(TEXT))
    data = torch.tensor([letters.index(letter) for letter in TEXT])
    model = CharModel(len(letters), 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, args))
    recorder and recorder.watch(model, optimizer)  # harness
    for step in range(args.steps):
        starts = torch.randint(len(data) - args.block - 1, (args.batch_size,))
        inputs = torch.stack([data[i : i + args.block] for i in starts])
        targets = torch.stack([data[i + 1 : i + args.block + 1] for i in starts])
        recorder and recorder.batch(inputs, targets)  # harness
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.2)
        optimizer.step()
        scheduler.step()
        recorder and recorder.log(loss=loss)  # harness
        print(f"step {step} loss {loss.item():.4f}")


if __name__ == "__main__":
    sys.exit(main())
