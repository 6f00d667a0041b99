"""A classifier trained with Lightning Fabric."""

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


recorder = globals().get("recorder")  # harness


def main():
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    torch.manual_seed(0)
    x = torch.randn(40, 6)
    y = (x[:, 0] * x[:, 1] > 0).long()
    loader = fabric.setup_dataloaders(DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True))
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model, optimizer = fabric.setup(model, optimizer)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-2, total_steps=10)
    recorder and recorder.watch(model, optimizer)  # harness
    for epoch in range(2):
        model.train()
        for inputs, labels in loader:
            recorder and recorder.batch(inputs, labels)  # harness
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=0.5)
            optimizer.step()
            scheduler.step()
            recorder and recorder.log(loss=loss)  # harness
        fabric.print(f"epoch {epoch} loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
