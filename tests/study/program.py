"""A plain CIFAR-10 training, as a user would write it, recorded by `Recorder`. Faults are edits of this text."""

import copy
import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness import Recorder
from harness.shipped.load import load_dataset


CFG = {
    "data": "cifar10",
    "train_images": 1000,
    "test_images": 500,
    "precision": "float64",
    "seed": 0,
    "epochs": 4,
    "bs": 64,
    "micro": 32,
    "lr": 0.05,
    "mom": 0.9,
    "wd": 5e-4,
    "ls": 0.1,
    "clip": 0.5,
    "warmup": 8,
    "drop": 0.1,
    "ema": 0.9,
}
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
BN = dict(momentum=0.1, eps=1e-5)


def load():
    data = load_dataset(CFG["data"]).first(CFG["train_images"], CFG["test_images"])
    xtr, ytr = data.train_images_NHWC.numpy(), data.train_labels_N.numpy()
    xte, yte = data.test_images_NHWC.numpy(), data.test_labels_N.numpy()
    return xtr, ytr, xte, yte


def prepare(x):
    x = torch.from_numpy(x).permute(0, 3, 1, 2).to(torch.get_default_dtype())
    x = x / 255.0
    x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return x.contiguous()


def augment(x, g):
    n = x.shape[0]
    ij = torch.randint(0, 9, (n, 2), generator=g)
    flip = torch.rand(n, generator=g, dtype=torch.float32) < 0.5
    rows = ij[:, :1] + torch.arange(32)
    cols = ij[:, 1:] + torch.where(flip[:, None], torch.arange(31, -1, -1), torch.arange(32))
    x = F.pad(x, (4, 4, 4, 4))
    image, channel = torch.arange(n).view(n, 1, 1, 1), torch.arange(3).view(1, 3, 1, 1)
    return x[image, channel, rows.view(n, 1, 32, 1), cols.view(n, 1, 1, 32)]


def dropout(x, p, training=True):
    if not training:
        return x
    keep = torch.rand(x.shape, dtype=torch.float64) >= p
    return x * keep / (1 - p)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 12, 3, padding=1, bias=False)
        self.b1 = nn.BatchNorm2d(12, **BN)
        self.c2 = nn.Conv2d(12, 24, 3, padding=1, stride=2, bias=False)
        self.b2 = nn.BatchNorm2d(24, **BN)
        self.c3 = nn.Conv2d(24, 24, 3, padding=1, bias=False)
        self.b3 = nn.BatchNorm2d(24, **BN)
        self.c4 = nn.Conv2d(24, 48, 3, padding=1, stride=2, bias=False)
        self.b4 = nn.BatchNorm2d(48, **BN)
        self.fc = nn.Linear(48, 10)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        x = F.relu(self.b1(self.c1(x)))
        x = F.relu(self.b2(self.c2(x)))
        x = F.relu(x + self.b3(self.c3(x)))
        x = dropout(x, CFG["drop"], self.training)
        x = F.relu(self.b4(self.c4(x)))
        x = x.mean((2, 3))
        return self.fc(x)


def rate(step, total):
    if step < CFG["warmup"]:
        return (step + 1) / CFG["warmup"]
    return 0.5 * (1 + math.cos(math.pi * step / total))


def build(total):
    model = Net()
    decay, rest = [], []
    for n, p in model.named_parameters():
        (rest if n.endswith("bias") or n.startswith("b") else decay).append(p)
    groups = [dict(params=decay, weight_decay=CFG["wd"]), dict(params=rest, weight_decay=0.0)]
    opt = torch.optim.SGD(groups, lr=CFG["lr"], momentum=CFG["mom"], nesterov=True)
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: rate(step, total))
    return model, copy.deepcopy(model), opt, sched


def loss_fn(out, y, denom):
    return F.cross_entropy(out, y, label_smoothing=CFG["ls"], reduction="sum") / denom


@torch.no_grad()
def ema_update(average, net):
    for a, b in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.mul_(CFG["ema"]).add_(b, alpha=1 - CFG["ema"])
        else:
            a.copy_(b)


@torch.no_grad()
def evaluate(model, x, y):
    model.eval()
    tot, right, n = 0.0, 0, 0
    for i in range(0, len(x), 128):
        xb, yb = x[i : i + 128], y[i : i + 128]
        o = model(xb)
        lo = F.cross_entropy(o, yb, reduction="sum")
        tot += lo.item()
        right += (o.argmax(1) == yb).sum().item()
        n += len(yb)
    return tot / n, right / n, n


def run(recorder):
    xtr, ytr, xte, yte = load()
    Xtr, Xte = prepare(xtr), prepare(xte)
    Ytr = torch.from_numpy(ytr.astype(np.int64))
    Yte = torch.from_numpy(yte.astype(np.int64))
    g = torch.Generator().manual_seed(CFG["seed"] + 1)
    total = CFG["epochs"] * math.ceil(len(Xtr) / CFG["bs"])
    model, ema, opt, sched = build(total)
    recorder.watch(model, opt)
    recorder.watch(ema, name="ema")
    step = 0
    for epoch in range(CFG["epochs"]):
        if epoch == CFG["epochs"] // 2:
            saved = io.BytesIO()
            parts = {"model": model, "ema": ema, "opt": opt, "sched": sched}
            states = {name: part.state_dict() for name, part in parts.items()}
            torch.save(states | {"rng": torch.get_rng_state(), "g": g.get_state()}, saved)
            torch.manual_seed(CFG["seed"] + 2)  # a new process starts from other random numbers
            g = torch.Generator().manual_seed(CFG["seed"] + 2)
            ck = torch.load(io.BytesIO(saved.getvalue()), weights_only=True)
            model2, ema2, opt2, sched2 = build(total)
            model2.load_state_dict(ck["model"])
            ema2.load_state_dict(ck["ema"])
            opt2.load_state_dict(ck["opt"])
            sched2.load_state_dict(ck["sched"])
            torch.set_rng_state(ck["rng"])
            g.set_state(ck["g"])
            model, ema, opt, sched = model2, ema2, opt2, sched2
            recorder.watch(model, opt)
            recorder.watch(ema, name="ema")
        perm = torch.randperm(len(Xtr), generator=g)
        for i in range(0, len(Xtr), CFG["bs"]):
            idx = perm[i : i + CFG["bs"]]
            x, y = Xtr[idx], Ytr[idx]
            x = augment(x, g)
            recorder.batch(x, y, order=idx)
            model.train()
            opt.zero_grad()
            summed = 0.0
            for j in range(0, len(x), CFG["micro"]):
                xb, yb = x[j : j + CFG["micro"]], y[j : j + CFG["micro"]]
                out = model(xb)
                loss = loss_fn(out, yb, len(x))
                loss.backward()
                summed += loss.item()
            recorder.log(loss=summed)
            nn.utils.clip_grad_norm_(model.parameters(), CFG["clip"])
            opt.step()
            sched.step()
            ema_update(ema, model)
            step += 1
        a, b, c = evaluate(model, Xte, Yte)
        recorder.evaluation(loss=a, accuracy=b, count=c)
        a, b, _ = evaluate(ema, Xte, Yte)
        recorder.evaluation(ema_loss=a, ema_accuracy=b)


def train(states=None, **changes):
    CFG.update(changes)
    with Recorder(precision=CFG["precision"], seed=CFG["seed"], name="study", states=states) as recorder:
        run(recorder)
    return recorder.record
