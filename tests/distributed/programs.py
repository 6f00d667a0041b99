"""Trainings of one batch on however many ranks: without BatchNorm and dropout, they do what one process does."""

from typing import Any, NamedTuple

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from harness import Recorder


BATCH, SAMPLES, EPOCHS = 64, 160, 2
"""The last batch of an epoch is smaller."""


class Program(NamedTuple):
    """What is trained.

    Args:
        way: how a model or its optimizer is divided, or the library that does it; one of `WAYS` or `LIBRARIES`.
        optimizer: of `OPTIMIZERS`.
        clip: norm of gradients; 0 clips nothing.
        micro: number of micro-batches that each batch is made of.
    """

    way: str
    optimizer: str
    clip: float = 0.0
    micro: int = 1

    @property
    def title(self) -> str:
        """The program in words."""
        parts = (self.optimizer, "clipping" if self.clip else "", "accumulation" if self.micro > 1 else "")
        return f"{(WAYS | LIBRARIES)[self.way]}, {', '.join(filter(None, parts))}"


WAYS = {"ddp": "DDP", "fsdp2": "FSDP2", "tp": "tensor parallel", "zero": "ZeRO"}
LIBRARIES = {"accelerate": "Accelerate", "transformers": "Transformers", "lightning": "Lightning"}
"""Their programs are in `tests.adapters.distributed`."""
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "AdamW": (torch.optim.AdamW, {"lr": 1e-3}),
}


def programs_of(way):
    """Return all that are divided in one way."""
    return [Program(way, optimizer, *rest) for optimizer in OPTIMIZERS for rest in ((), (0.1,), (0.0, 2), (0.1, 2))]


PROGRAMS = [program for way in WAYS for program in programs_of(way)]


class Net(nn.Module):
    """A block with a bottleneck, as tensor parallelism divides it."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down, self.head = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8), nn.Linear(8, 3)

    def forward(self, inputs):
        """Return logits."""
        return self.head(inputs + self.down(functional.gelu(self.up(self.norm(inputs)))))


def trained(program):
    """Record a training; on the ranks of a process group, or alone."""
    is_alone = not distributed.is_initialized()
    with Recorder(precision="float64", seed=0) as recorder:
        model = Net()
        net = model if is_alone else divided(model, program.way)
        optimizer = optimized(net, program, is_alone=is_alone)
        recorder.watch(model, optimizer)
        samples = TensorDataset(torch.randn(SAMPLES, 8), torch.arange(SAMPLES) % 3)
        shares, share = (1, 0) if is_alone or program.way == "tp" else _world()
        sampler = DistributedSampler(samples, shares, share)
        for epoch in range(EPOCHS):
            sampler.set_epoch(epoch)
            for inputs, labels in DataLoader(samples, BATCH // shares, sampler=sampler):
                recorder.batch(inputs, labels)
                optimizer.zero_grad()
                recorder.log(loss=accumulated(net, program, inputs, labels))
                if program.clip:
                    clip(net, program.clip)
                optimizer.step()
    return recorder.record


def _world():
    return distributed.get_world_size(), distributed.get_rank()


def divided(model, way):
    """Return a model as it is called on several ranks."""
    if way in ("ddp", "zero"):
        return DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh  # here and below: they take a second
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    if way == "tp":
        return parallelize_module(model, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})
    fully_shard(model.up, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def optimized(net, program, *, is_alone):
    """Return the optimizer of a model; that of ZeRO keeps the state of some parameters."""
    kind, options = OPTIMIZERS[program.optimizer]
    if program.way == "zero" and not is_alone:
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(net.parameters(), optimizer_class=kind, **options)
    return kind(net.parameters(), **options)


def accumulated(net, program, inputs, labels):
    """Add the gradients of micro-batches, which are reduced after the last; return their loss."""
    total, parts = 0.0, [*zip(inputs.chunk(program.micro), labels.chunk(program.micro), strict=True)]
    for number, (part, its_labels) in enumerate(parts, 1):
        synchronise(net, number == len(parts))
        loss = functional.cross_entropy(net(part), its_labels) * (len(part) / len(inputs))
        loss.backward()
        total += loss.detach()
    return total


def synchronise(net, is_last):
    """Have gradients reduced after the next pass, or not."""
    if isinstance(net, DistributedDataParallel):
        net.require_backward_grad_sync = is_last
    elif hasattr(net, "set_requires_gradient_sync"):
        net.set_requires_gradient_sync(is_last)


def clip(net, most):
    """Clip gradients; torch does not where some are divided and others are not."""
    gradients = [parameter.grad for parameter in net.parameters()]
    if len({type(gradient) for gradient in gradients}) == 1:
        nn.utils.clip_grad_norm_(net.parameters(), most)
        return
    norms = [gradient.norm() for gradient in gradients]
    total = torch.stack([norm.full_tensor() if hasattr(norm, "full_tensor") else norm for norm in norms]).norm()
    for gradient in gradients:
        gradient.mul_(min(1.0, most / (float(total) + 1e-6)))


def on_a_rank(folder, programs):
    """Train all of some programs on one rank; leave their records."""
    record = None
    for number, program in enumerate(programs):
        record = trained(program)
        record.save(f"{folder}/{number}/rank{record.world.rank}.json")
    return record
