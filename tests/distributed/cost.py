"""What recording costs a step under `DistributedDataParallel`, on two ranks of gloo: in turns with the bare step."""

import json
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from harness import Recorder
from harness.elsewhere.ranks import Ranks
from harness.shipped.models import CifarCNN


LIMIT = 1.10
WARM_UP, BATCH = 5, 32


def steps(recorder=None):
    """Train a small CNN without an end, a step each time; recorded if there is a recorder."""
    draws = torch.Generator().manual_seed(0)
    model = CifarCNN(width=16)
    net = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    if recorder:
        recorder.watch(model, optimizer)
    while True:
        images = torch.rand(BATCH, 3, 32, 32, generator=draws, dtype=torch.float64)
        labels = torch.randint(10, (BATCH,), generator=draws)
        if recorder:
            recorder.batch(images, labels)
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if recorder:
            recorder.log(loss=loss)
        optimizer.step()
        yield


def on_a_rank(folder, pairs):
    """Let both trainings take turns; leave the seconds of this process that each step of each took."""
    with Recorder() as recorder:
        loops = steps(recorder), steps()
        found = [[timed(loop) for loop in loops] for _ in range(WARM_UP + pairs)][WARM_UP:]
    Path(folder, f"rank{recorder.record.world.rank}.json").write_text(json.dumps(found), encoding="utf-8")
    return recorder.record


def timed(loop):
    """Seconds of this process that a step takes: whoever waits for another rank takes none."""
    before = time.process_time()
    next(loop)
    return time.process_time() - before


def measure(folder, pairs=200):
    """Return the median milliseconds of a recorded and of a bare step, and of their ratios."""
    Ranks()(on_a_rank, str(folder), pairs)
    found = [pair for file in Path(folder).glob("*.json") for pair in json.loads(file.read_text(encoding="utf-8"))]
    ours, theirs = (1000 * median(times) for times in zip(*found, strict=True))
    return ours, theirs, median(our / their for our, their in found)
