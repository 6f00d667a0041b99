"""What a small loop is, and what the loops share: data, a model, and the plain loop that everybody knows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness import Record, Recorder
from harness.recipe import Precision
from harness.recording.determinism import deterministic


STEPS = 4


class Nobody:
    """A recorder that is not there: whatever it is told, nothing happens."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *args, **named: None


@dataclass(frozen=True)
class Loop:
    """A training loop that is run with and without a recorder.

    Args:
        train: takes a recorder and a learning rate, and returns the modules that it has trained.
        rate: learning rate that it trains with.
        shows: stage that another rate shows in first.
        steps: optimizer steps that it takes.
        noise: whether some gradients are zero but for rounding, which the recorder takes out: the one thing it changes.
        precision: that it trains in.
        refused: what the recorder says of it; empty if it records it.
        long: whether it is left to the nightly run.
    """

    train: Callable[[Any, float], nn.Module | tuple[nn.Module, ...]]
    rate: float = 0.1
    shows: str = "schedule"
    steps: int = STEPS
    noise: bool = False
    precision: Precision = "float64"
    refused: str = ""
    long: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return self.train.__name__

    def record(self, factor: float = 1.0) -> tuple[Record, list[Tensor]]:
        """Train at a factor times the rate; return the record, and the weights and buffers at the end."""
        with Recorder(name=self.name, precision=self.precision) as recorder:
            trained = self.train(recorder, self.rate * factor)
        return recorder.record, _tensors(trained)

    def bare(self) -> list[Tensor]:
        """Train without a recorder, under the same globals; return the weights and buffers at the end."""
        with deterministic(self.precision, 0):
            return _tensors(self.train(Nobody(), self.rate))


LOOPS: list[Loop] = []


def loop(rate: float = 0.1, **traits: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function among the loops; see `Loop`."""

    def register(train: Callable[..., Any]) -> Callable[..., Any]:
        LOOPS.append(Loop(train, rate, **traits))
        return train

    return register


def _tensors(trained: nn.Module | tuple[nn.Module, ...]) -> list[Tensor]:
    modules = trained if isinstance(trained, tuple) else (trained,)
    return [tensor for module in modules for tensor in module.state_dict().values() if isinstance(tensor, Tensor)]


# --- what the loops share


def mlp(inputs: int = 6, outputs: int = 3) -> nn.Sequential:
    """Two linear layers and a smooth activation."""
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs))


def batches(*shape: int, steps: int = STEPS) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw normal numbers, (8, 6) or of another shape, and one of three classes for each."""
    for _ in range(steps):
        inputs = torch.randn(*(shape or (8, 6)))
        yield inputs, torch.randint(3, (len(inputs),))


def tokens(count: int = 7, steps: int = STEPS) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw four sequences out of nine tokens, and what follows each of them."""
    for _ in range(steps):
        drawn = torch.randint(9, (4, count + 1))
        yield drawn[:, :-1], drawn[:, 1:]


def sgd(model: nn.Module, rate: float) -> torch.optim.SGD:
    """The optimizer of loops that are about something else."""
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)


def adam(model: nn.Module, rate: float) -> torch.optim.Adam:
    """Another one."""
    return torch.optim.Adam(model.parameters(), lr=rate)


def cross_entropy(model, inputs, targets):
    """The loss of loops that are about something else."""
    return functional.cross_entropy(model(inputs), targets)


def fit(recorder, model, optimizer, data=None, learn=cross_entropy, after=lambda step: None):
    """Train as everybody does; `after(step)` is called at the end of each step.

    Of a batch, `learn(model, inputs, targets)` returns the loss; or the gradients are there, and it returns what is
    logged.
    """
    recorder.watch(model, optimizer)
    for step, (inputs, targets) in enumerate(data or batches()):
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        logged = learn(model, inputs, targets)
        if isinstance(logged, Tensor):
            logged.backward()
            logged = {"loss": logged}
        optimizer.step()
        recorder.log(**logged)
        after(step)
    return model


def learning(rate: float = 0.1, *, make=mlp, optimizer=sgd, data=batches, **traits: Any):
    """Put a loop among the loops that differs in what is learned of a batch: `fit` says what the function returns."""

    def register(learn):
        def train(recorder, rate):
            model = make()
            return fit(recorder, model, optimizer(model, rate), data(), learn)

        train.__name__ = learn.__name__
        LOOPS.append(Loop(train, rate, **traits))
        return learn

    return register
