"""Mixed precision: autocast, a gradient scaler, accumulation over two batches, clipping of unscaled gradients."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


recorder = globals().get("recorder")  # harness

device = "cpu"
ACCUMULATE = 2


def main():
    torch.manual_seed(0)
    inputs = torch.randn(64, 10)
    targets = (inputs[:, :3].sum(1) > 0).long()
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 16), nn.LayerNorm(16), nn.SiLU(), nn.Linear(16, 2)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    scaler = torch.amp.GradScaler(device)
    recorder and recorder.watch(model, optimizer)  # harness
    for epoch in range(2):
        for i, (x, y) in enumerate(loader):
            x, y = x.to(device), y.to(device)
            recorder and recorder.batch(x, y)  # harness
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = F.cross_entropy(model(x), y) / ACCUMULATE
            scaler.scale(loss).backward()
            recorder and recorder.log(loss=loss)  # harness
            if (i + 1) % ACCUMULATE == 0:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        print(f"epoch {epoch} loss {loss.item() * ACCUMULATE:.4f}")


if __name__ == "__main__":
    main()
