"""A graph network on one graph: messages by index_add, half of the nodes have labels to train on."""

import torch
from torch import nn
from torch.nn import functional as F


recorder = globals().get("recorder")  # harness

NODES, FEATURES, CLASSES = 30, 6, 3


def make_graph():
    labels = torch.randint(CLASSES, (NODES,))
    features = torch.randn(NODES, FEATURES) + F.one_hot(labels, FEATURES)
    source, target = torch.randint(NODES, (2, 120))
    same = (labels[source] == labels[target]) | (torch.rand(120) < 0.2)
    edges = torch.stack([source[same], target[same]])
    train_mask = torch.rand(NODES) < 0.5
    return features, labels, torch.cat([edges, edges.flip(0)], dim=1), train_mask


class GraphConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.neighbours = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x, edges):
        source, target = edges
        messages = torch.zeros_like(x).index_add(0, target, x[source])
        degree = torch.zeros(len(x)).index_add(0, target, torch.ones(len(target))).clamp(min=1)
        return self.own(x) + self.neighbours(messages / degree[:, None])


class GNN(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.first = GraphConv(FEATURES, width)
        self.second = GraphConv(width, CLASSES)

    def forward(self, x, edges):
        x = F.dropout(F.elu(self.first(x, edges)), 0.3, training=self.training)
        return self.second(x, edges)


def main():
    torch.manual_seed(0)
    x, y, edges, train_mask = make_graph()
    model = GNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    recorder and recorder.watch(model, optimizer)  # harness
    for epoch in range(8):
        recorder and recorder.batch([x, edges], [y, train_mask])  # harness
        model.train()
        optimizer.zero_grad()
        out = model(x, edges)
        loss = F.cross_entropy(out[train_mask], y[train_mask])
        loss.backward()
        optimizer.step()
        recorder and recorder.log(loss=loss)  # harness
        model.eval()
        with torch.no_grad():
            hits = (model(x, edges).argmax(1) == y)[~train_mask]
        recorder and recorder.evaluation(accuracy=hits.sum() / len(hits))  # harness
        print(f"epoch {epoch} loss {loss.item():.4f} accuracy {hits.sum().item() / len(hits):.3f}")


if __name__ == "__main__":
    main()
