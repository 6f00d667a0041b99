"""Faults of distribution as they were reported in public, planted into two ranks of small trainings."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from harness import Recorder, compare
from harness.comparing.ranks import merge
from harness.elsewhere.ranks import Ranks
from harness.faults import Planting
from harness.record.ranks import of_all_ranks
from harness.recording.perturbation import Perturbation, perturbed


class Fault(NamedTuple):
    """What is planted, where it was reported, and what has to be named.

    Args:
        report: in public.
        first: the step that it is wrong in first, its stage, and a stream of that.
        way: of the training that has what it takes.
    """

    report: str
    first: tuple[int, str, str]
    way: str = "ddp"


FAULTS = {
    "shard-repeated": Fault("vllm-project/speculators, pull request 427", (0, "data", "batch/labels")),
    "epoch-not-set": Fault("huggingface/transformers, issue 4398", (2, "data", "batch/labels")),
    "seeds-apart": Fault("pytorch/torchtitan, issue 166", (0, "init", "ranks/init/0.weight")),
    "buffers-not-broadcast": Fault("pytorch/pytorch, issue 63916", (1, "ranks", "ranks/buffer_before/1.running_mean")),
    "wrapper-bypassed": Fault("jingyaogong/minimind, issue 853", (0, "ranks", "ranks/gradient/0.weight")),
    "reducer-hooks-lost": Fault("pytorch/pytorch, issue 104336", (0, "ranks", "ranks/gradient/0.weight")),
    "sync-skipped": Fault("modelscope/FunASR, pull request 3472", (0, "ranks", "ranks/gradient/0.weight")),
    "gradients-summed": Fault("neuralmagic/sparseml, pull request 135", (0, "backward", "gradient/0.weight")),
    "clipped-on-one-rank": Fault("deepspeedai/DeepSpeed, pull request 1801", (0, "ranks", "ranks/gradient/0.weight")),
    "clipped-locally": Fault("sgl-project/SpecForge, pull request 663", (0, "backward", "gradient/0.weight"), "fsdp2"),
    "state-lost-on-ranks": Fault("vllm-project/speculators, pull request 926", (1, "ranks", "ranks/update/0.weight")),
}
WAYS = "ddp", "fsdp2"


def trained(way):
    """Record four steps of two micro-batches, in two epochs, with clipping and BatchNorm."""
    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        net = wrapped(model, way)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        recorder.watch(model, optimizer)
        samples = TensorDataset(torch.rand(32, 4), torch.arange(32) % 3)
        sampler = DistributedSampler(samples)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            for inputs, labels in DataLoader(samples, 8, sampler=sampler):
                recorder.batch(inputs, labels)
                optimizer.zero_grad()
                recorder.log(loss=accumulated(net, way, inputs, labels))
                nn.utils.clip_grad_norm_(net.parameters(), 0.1)
                optimizer.step()
    return recorder.record


def wrapped(model, way):
    """Return a model as it is called on several ranks."""
    if way == "ddp":
        return DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh  # here: it takes a second
    from torch.distributed.fsdp import fully_shard

    fully_shard(model, mesh=init_device_mesh("cpu", (distributed.get_world_size(),)))
    return model


def accumulated(net, way, inputs, labels):
    """Add the gradients of two micro-batches, which are reduced after the second; return their loss."""
    total = 0.0
    for last, (part, its_labels) in enumerate(zip(inputs.chunk(2), labels.chunk(2), strict=True)):
        if way == "ddp":
            net.require_backward_grad_sync = bool(last)
        else:
            net.set_requires_gradient_sync(bool(last))
        loss = functional.cross_entropy(net(part), its_labels) / 2
        loss.backward()
        total += loss.detach()
    return total


def on_a_rank(folder, names):
    """Train on one rank: soundly in each way that is needed, and under each fault; leave the records in folders."""
    for way in dict.fromkeys(FAULTS[name].way for name in names):  # in the same order on all ranks
        record = trained(way)
        _leave(record, Path(folder, way))
    for name in names:
        planting = Planting(name)
        with perturbed(Perturbation(plant=planting)):
            record = trained(FAULTS[name].way)
        _leave(record, Path(folder, name), *[] if planting.outcome(record)[0] else ["untouched"])
    return record


def _leave(record, folder, *marks):
    """Save a rank's record, and empty files beside it."""
    folder.mkdir(exist_ok=True)
    record.save(folder / f"rank{record.world.rank}.json")
    for mark in marks:
        (folder / f"rank{record.world.rank}-{mark}").touch()


def run(folder, names=FAULTS):
    """Train on two ranks under faults; yield of each its name, comparison, and the number of ranks that it reached."""
    Ranks()(on_a_rank, str(folder), [*names])
    for name in names:
        sound, faulty = (merge(of_all_ranks(folder / each, "run")) for each in (FAULTS[name].way, name))
        yield name, compare(sound, faulty), 2 - len([*(folder / name).glob("*-untouched")])
