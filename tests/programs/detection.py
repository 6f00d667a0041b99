"""A detector of bright boxes: lists of images, targets as lists of dicts, a dict of losses; some images are empty."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


recorder = globals().get("recorder")  # harness

SIZE, CELL, CLASSES = 16, 4, 2


class Boxes(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        image = torch.rand(1, SIZE, SIZE, generator=generator) * 0.3
        boxes, labels = [], []
        for _ in range(i % 3):
            x, y = torch.randint(SIZE - 4, (2,), generator=generator).tolist()
            label = int(torch.randint(CLASSES, (1,), generator=generator))
            image[0, y : y + 4, x : x + 3 + label] += 0.5 + 0.5 * label
            boxes.append([x, y, x + 3 + label, y + 4])
            labels.append(label)
        target = {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels).long(), "image_id": i}
        return image, target


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        )
        self.scores = nn.Conv2d(16, 1 + CLASSES, 1)
        self.offsets = nn.Conv2d(16, 4, 1)

    def forward(self, images, targets):
        features = self.backbone(torch.stack(images))
        scores, offsets = self.scores(features), self.offsets(features)
        classes = torch.zeros(len(images), SIZE // CELL, SIZE // CELL).long()
        wanted = torch.zeros_like(offsets)
        for n, target in enumerate(targets):
            for box, label in zip(target["boxes"], target["labels"]):
                x, y = (box[:2] + box[2:]) / 2
                column, row = int(x) // CELL, int(y) // CELL
                classes[n, row, column] = label + 1
                center = torch.tensor([column, row, column, row]) * CELL + CELL / 2
                wanted[n, :, row, column] = (box - center) / CELL
        found = (classes > 0)[:, None].expand_as(offsets)
        weight = torch.tensor([0.2, 1.0, 1.0])
        return {
            "class": F.cross_entropy(scores, classes, weight=weight),
            "box": F.smooth_l1_loss(offsets[found], wanted[found], reduction="sum") / max(1, int((classes > 0).sum())),
        }


def main(epochs=2):
    torch.manual_seed(0)
    loader = DataLoader(Boxes(), batch_size=4, shuffle=True, collate_fn=lambda batch: tuple(zip(*batch)))
    model = Detector()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    recorder and recorder.watch(model, optimizer)  # harness
    for epoch in range(epochs):
        for images, targets in loader:
            recorder and recorder.batch(images, targets)  # harness
            losses = model(images, targets)
            loss = sum(losses.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder and recorder.log(**losses, loss=loss)  # harness
        print(f"epoch {epoch} loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
