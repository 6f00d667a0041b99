"""Trainings of many kinds, for the study of what rounding grows to: `growth.py`.

All compute in float64 on data of their own, and draw random numbers on the CPU, so that one seed means one training on
every device.
"""

import copy
import dataclasses
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import SGD, Adam, AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from harness import Record, Recorder, recipes, train
from harness.shipped.load import load_dataset
from tests.study import runs


Training = Callable[..., Record]
Batches = Iterator[tuple[Tensor, Tensor]]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Program:
    """A training that can be run again.

    Args:
        name: what it is called in tables.
        function: takes a seed, a device and the options, and returns the record.
        options: what else the function takes.
        seeds: with which it is run.
        devices: on which it can run.
    """

    name: str
    function: Training
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    devices: Sequence[str] = ("cpu", "cuda")

    def run(self, seed: int, device: str = "cpu") -> Record:
        """Train, and return the record."""
        return self.function(seed, device, **self.options)

    @functools.cached_property
    def source(self) -> str:
        """The text that decides what the program does."""
        shared = Path(__file__).read_text(encoding="utf-8").partition("\n# --- the programs")[0]
        return f"{shared}\0{inspect.getsource(self.function)}\0{dict(self.options)}"


def recorded(loop: Callable[..., None]) -> Training:
    """Turn a loop, which takes a recorder and a device, into a training that returns a record."""

    @functools.wraps(loop)
    def training(seed: int, device: str, **options: Any) -> Record:
        with Recorder(precision="float64", seed=seed, name=loop.__name__) as recorder:
            loop(recorder, device, **options)
        return recorder.record

    return training


# --- what the programs share


def fit(recorder, model, optimizer, batches: Batches, loss=functional.cross_entropy) -> None:
    """Watch a model and train it as everybody does."""
    recorder.watch(model, optimizer)
    for inputs, targets in batches:
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        value = loss(model(inputs), targets)
        value.backward()
        optimizer.step()
        recorder.log(loss=value)


def pictures(count: int, device: str) -> tuple[Tensor, Tensor]:
    """Return the first images of the embedded set, normalised in float64, and their classes."""
    data = load_dataset("synthetic").first(count, 1)
    images = data.train_images_NHWC.permute(0, 3, 1, 2).double() / 255
    images = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    return images.contiguous().to(device), data.train_labels_N.to(device)


def drawn(whole: tuple[Tensor, Tensor], size: int, steps: int) -> Batches:
    """Draw batches of images and classes."""
    for _ in range(steps):
        indices = torch.randperm(len(whole[0]))[:size].to(whole[0].device)
        yield whole[0][indices], whole[1][indices]


def noise(*shape: int, steps: int, classes: int, device: str) -> Batches:
    """Draw batches of normal numbers and classes."""
    for _ in range(steps):
        yield torch.randn(*shape).to(device), torch.randint(classes, shape[:1]).to(device)


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Return linear layers with activations between them."""
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    """Two convolutions with BatchNorm and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.two, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        way = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.way = way if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of `outputs` channels."""
        return functional.relu(self.norm2(self.two(functional.relu(self.norm1(self.one(x))))) + self.way(x))


class Language(nn.Module):
    """Embedding, something recurrent, and a linear layer."""

    def __init__(self, recurrent: Callable[..., nn.Module], tokens: int = 32, width: int = 32) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(tokens, width), nn.Linear(width, tokens)
        self.recurrent = recurrent(width, width, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits of each next token, (N, classes, T)."""
        return self.head(self.recurrent(self.embedding(tokens))[0]).transpose(1, 2)


class LowRank(nn.Module):
    """A frozen layer and a trained product of two thin matrices beside it, the second of which starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int = 4) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down, self.up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs)."""
        return self.base(x) + self.up(self.down(x))


class Quantised(nn.Module):
    """An autoencoder whose code is the nearest of 16 vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.codes = mlp(12, 32, 4), mlp(4, 32, 12), nn.Parameter(torch.randn(16, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is decoded, and the distance of the codes."""
        code = self.encoder(x)
        nearest = self.codes[((code[:, None] - self.codes) ** 2).sum(2).argmin(1)]
        distance = functional.mse_loss(code, nearest.detach()) + functional.mse_loss(nearest, code.detach())
        return self.decoder(code + (nearest - code).detach()), distance


class Experts(nn.Module):
    """Four experts, of which a router chooses one for each input."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(16, 4), nn.ModuleList(mlp(16, 24, 5) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 5)."""
        share, chosen = self.router(x).softmax(1).max(1)
        every = torch.stack([expert(x) for expert in self.experts], 1)
        return every[torch.arange(len(x), device=x.device), chosen] * share[:, None]


class Kernel(nn.Module):
    """A Gaussian process: three numbers decide over an ill-conditioned matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.length, self.size, self.noise = (nn.Parameter(torch.tensor(v)) for v in (-0.5, 0.1, -6.0))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the negative logarithm of the likelihood."""
        squares = (x[:, None] - x[None, :]) ** 2
        matrix = self.size.exp() * torch.exp(-squares / (2 * (2 * self.length).exp()))
        matrix = matrix + self.noise.exp() * torch.eye(len(x), device=x.device)
        lower = torch.linalg.cholesky(matrix)
        solved = torch.cholesky_solve(y[:, None], lower)[:, 0]
        return (y @ solved / 2 + lower.diagonal().log().sum()) / len(x)


# --- the programs


def recipe(seed: int, device: str, name: str, **changes: Any) -> Record:
    """A shipped recipe."""
    return train(dataclasses.replace(getattr(recipes, name)(), seed=seed, **changes), device)


def study(seed: int, device: str) -> Record:
    """The study's own program, shortened: everything that a training can have."""
    assert device == "cpu"
    short = {"data": "synthetic", "epochs": 3, "train_images": 150, "test_images": 50, "bs": 32, "micro": 16}
    return runs.train(runs.edited(runs.REFERENCE), seed=seed, **short)


@recorded
def resnet(recorder, device, rate, steps):
    """A ResNet with pytorch-cifar's settings, batches of 8."""
    stem = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    blocks = [Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 32, 2), Residual(32, 64, 2)]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).to(device)
    optimizer = SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    fit(recorder, model, optimizer, drawn(pictures(44, device), 8, steps))


@recorded
def lbfgs(recorder, device, search, steps=8):
    """LBFGS, which calls a closure as often as it likes; the count is logged."""
    model = mlp(10, 32, 1).to(device)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8, line_search_fn=search)
    recorder.watch(model, optimizer)
    x = torch.randn(64, 10).to(device)
    y = torch.sin(x.sum(1, keepdim=True))
    calls = itertools.count(1)

    def closure():
        next(calls)
        optimizer.zero_grad()
        loss = functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    for _ in range(steps):
        recorder.batch(x, y)
        recorder.log(loss=optimizer.step(closure), calls=next(calls))


@recorded
def transformer(recorder, device, optimizer=AdamW, steps=40):
    """Two layers of attention under AdamW; keys' biases have no gradient but rounding."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = nn.Sequential(nn.Embedding(64, 32), encoder, nn.Linear(32, 64)).to(device)
    tokens = (torch.randint(64, (8, 24)).to(device) for _ in range(steps))

    def loss(logits, x):
        return functional.cross_entropy(logits.flatten(0, 1), x.flatten())

    fit(recorder, model, optimizer(model.parameters(), lr=3e-3), ((x, x) for x in tokens), loss)


@recorded
def gan(recorder, device, steps=30):
    """Two networks and two Adams, one against the other."""
    maker = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2)).to(device)
    judge = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)).to(device)
    of_maker, of_judge = (Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999)) for net in (maker, judge))
    recorder.watch(maker, of_maker, name="maker")
    recorder.watch(judge, of_judge, name="judge")
    for _ in range(steps):
        x, z = (torch.randn(32, 2) * 0.3 + 1).to(device), torch.randn(32, 8).to(device)
        recorder.batch(x)
        of_judge.zero_grad()
        judged = functional.softplus(-judge(x)).mean() + functional.softplus(judge(maker(z).detach())).mean()
        judged.backward()
        of_judge.step()
        of_maker.zero_grad()
        made = functional.softplus(-judge(maker(z))).mean()
        made.backward()
        of_maker.step()
        recorder.log(judge=judged, maker=made)


@recorded
def penalised_gan(recorder, device, steps=20):
    """A critic whose gradient is penalised: a backward pass through a backward pass."""
    critic = mlp(2, 32, 32, 1).to(device)
    optimizer = Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    recorder.watch(critic, optimizer)
    for _ in range(steps):
        real, made = ((torch.randn(32, 2) + shift).to(device) for shift in (0, 1))
        recorder.batch(real)
        optimizer.zero_grad()
        between = (torch.rand(32, 1).to(device) * (real - made) + made).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((slope.norm(2, 1) - 1) ** 2).mean()
        loss = critic(made).mean() - critic(real).mean() + 10 * penalty
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss, penalty=penalty)


@recorded
def maxpool(recorder, device, rate=0.2, steps=60):
    """Max-pooling under a high rate, until it has learnt its few images by heart."""
    first = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(16 * 16, 10)).to(device)
    whole = torch.randn(64, 3, 16, 16).to(device), torch.randint(10, (64,)).to(device)
    fit(recorder, model, SGD(model.parameters(), lr=rate, momentum=0.95), drawn(whole, 16, steps))


@recorded
def wide(recorder, device, steps=4):
    """Long sums: layers of 1,024, batches of 256."""
    first = [nn.Linear(1024, 1024), nn.GELU(), nn.LayerNorm(1024)]
    model = nn.Sequential(*first, nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)).to(device)
    batches = noise(256, 1024, steps=steps, classes=10, device=device)
    fit(recorder, model, SGD(model.parameters(), lr=0.05, momentum=0.9), batches)


@recorded
def language(recorder, device, kind, rate=5e-3, gain=0.0, steps=20):
    """A recurrent language model; with a gain, one whose states are chaotic."""
    model = Language(kind).to(device)
    if gain:
        nn.init.normal_(model.recurrent.weight_hh_l0, std=gain / math.sqrt(32))
    tokens = (torch.randint(32, (8, 33)).to(device) for _ in range(steps))

    def loss(logits, following):  # of flat logits: those of sequences have no deterministic kernel on a GPU
        return functional.cross_entropy(logits.transpose(1, 2).flatten(0, 1), following.flatten())

    fit(recorder, model, Adam(model.parameters(), lr=rate), ((x[:, :-1], x[:, 1:]) for x in tokens), loss)


@recorded
def converging(recorder, device, steps=80):
    """A regression without noise: the loss falls to what rounding leaves of it."""
    model = nn.Linear(8, 4).to(device)
    x = torch.randn(64, 8).to(device)
    y = x @ torch.randn(8, 4).to(device)
    fit(recorder, model, SGD(model.parameters(), lr=0.5), ((x, y) for _ in range(steps)), functional.mse_loss)


@recorded
def converging_from_zero(recorder, device, steps=80):
    """The same from weights of zero, which have no unit in the last place to change."""
    model = nn.Linear(8, 4).to(device)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(64, 8).to(device)
    y = x @ torch.randn(8, 4).to(device)
    fit(recorder, model, SGD(model.parameters(), lr=0.5), ((x, y) for _ in range(steps)), functional.mse_loss)


@recorded
def autoencoder(recorder, device, steps=60):
    """An autoencoder of what two numbers decide: a small loss."""
    model = mlp(16, 32, 2, 32, 16).to(device)
    x = torch.sin(torch.randn(64, 2) @ torch.randn(2, 16)).to(device) / 10
    fit(recorder, model, Adam(model.parameters(), lr=1e-2), ((x, x) for _ in range(steps)), functional.mse_loss)


@recorded
def diffusion(recorder, device, steps=30):
    """A network that learns to take noise away, and an average of its weights."""
    model = mlp(2 + 8, 64, 64, 2, activation=nn.SiLU).to(device)
    optimizer, average = (
        AdamW(model.parameters(), lr=2e-3),
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
    )
    recorder.watch(model, optimizer)
    recorder.watch(average, name="average")
    for _ in range(steps):
        angle, time = torch.rand(64, 1) * 2 * math.pi, torch.rand(64, 1)
        clean, added = torch.cat([angle.cos(), angle.sin()], 1), torch.randn(64, 2)
        waves = torch.cat([time * 2**k for k in range(4)], 1) * math.pi
        noisy = clean * (time * math.pi / 2).cos() + added * (time * math.pi / 2).sin()
        inputs = torch.cat([noisy, waves.sin(), waves.cos()], 1).to(device)
        recorder.batch(inputs)
        optimizer.zero_grad()
        loss = functional.mse_loss(model(inputs), added.to(device))
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        recorder.log(loss=loss)


@recorded
def variational(recorder, device, steps=30):
    """A variational autoencoder: noise of its own in the middle."""
    encoder, decoder = mlp(16, 32, 8).to(device), mlp(4, 32, 16).to(device)
    model = nn.ModuleList([encoder, decoder])
    optimizer = Adam(model.parameters(), lr=3e-3)
    recorder.watch(model, optimizer)
    for _ in range(steps):
        x = torch.rand(32, 16).round().to(device)
        recorder.batch(x)
        optimizer.zero_grad()
        mean, log_variance = encoder(x).chunk(2, 1)
        code = mean + torch.randn(32, 4).to(device) * (log_variance / 2).exp()
        rebuilt = functional.binary_cross_entropy_with_logits(decoder(code), x, reduction="sum") / 32
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 64
        (rebuilt + divergence).backward()
        optimizer.step()
        recorder.log(rebuilt=rebuilt, divergence=divergence)


@recorded
def policy_gradient(recorder, device, steps=25):
    """REINFORCE in a corridor: the policy decides what data there are."""
    policy = mlp(8, 16, 2).to(device)
    optimizer = Adam(policy.parameters(), lr=2e-2)
    recorder.watch(policy, optimizer)
    for _ in range(steps):
        place, states, actions = torch.full((16,), 3), [], []
        with torch.no_grad():
            for _ in range(8):
                states.append(functional.one_hot(place, 8).double())
                chances = policy.eval()(states[-1].to(device)).softmax(1).cpu()
                actions.append(torch.multinomial(chances, 1)[:, 0])
                place = (place + 2 * actions[-1] - 1).clamp(0, 7)
        seen, taken, reward = torch.cat(states).to(device), torch.cat(actions).to(device), place.double() / 7
        policy.train()
        recorder.batch(seen, taken)
        optimizer.zero_grad()
        chosen = functional.cross_entropy(policy(seen), taken, reduction="none").view(8, 16).sum(0)
        loss = (chosen * (reward - reward.mean()).to(device)).mean()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss, reward=reward.mean())


@recorded
def q_learning(recorder, device, steps=40):
    """Deep Q-learning: actions and targets are the best of several, and a copy of the network lags behind."""
    network = mlp(4, 24, 3, activation=nn.ReLU).to(device)
    target, optimizer = copy.deepcopy(network), Adam(network.parameters(), lr=5e-3)
    recorder.watch(network, optimizer)
    recorder.watch(target, name="target")
    state, move = torch.randn(32, 4).to(device), torch.randn(3, 4).to(device) / 2
    for step in range(steps):
        recorder.batch(state)
        optimizer.zero_grad()
        values = network(state)
        best = values.argmax(1)
        following = torch.tanh(state * 0.9 + move[best])
        with torch.no_grad():
            wanted = following[:, 0] + 0.9 * target(following).max(1).values
        loss = functional.smooth_l1_loss(values.gather(1, best[:, None])[:, 0], wanted)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss, actions=best.bincount(minlength=3))
        state = following.detach()
        if step % 10 == 9:
            target.load_state_dict(network.state_dict())


@recorded
def low_rank(recorder, device, steps=30):
    """Fine-tuning of thin matrices, of which one starts at zero, beside frozen layers."""
    model = nn.Sequential(LowRank(16, 32), nn.GELU(), LowRank(32, 5)).to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    fit(recorder, model, AdamW(trained, lr=1e-2), noise(32, 16, steps=steps, classes=5, device=device))


@recorded
def zero_start(recorder, device, steps=30):
    """A logistic regression whose weights start at zero: no unit in the last place to change."""
    model = nn.Linear(64, 5).to(device)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    fit(recorder, model, SGD(model.parameters(), lr=0.5), noise(128, 64, steps=steps, classes=5, device=device))


@recorded
def line(recorder, device, points, noise, steps):
    """A line through many points: two numbers to jitter, and long sums, which may cancel where it converges."""
    model = nn.Linear(1, 1).to(device)
    x = torch.randn(points, 1).to(device)
    y = 3 * x + 1 + noise * torch.randn(points, 1).to(device)
    fit(recorder, model, SGD(model.parameters(), lr=0.1), ((x, y) for _ in range(steps)), functional.mse_loss)


@recorded
def gaussian_process(recorder, device, steps=15):
    """Three numbers, and a matrix between them and the loss that multiplies rounding by its condition."""
    model = Kernel().to(device)
    optimizer = Adam(model.parameters(), lr=5e-2)
    recorder.watch(model, optimizer)
    x = torch.linspace(-3, 3, 96).to(device)
    y = torch.sin(2 * x) + 0.1 * torch.randn(96).to(device)
    for _ in range(steps):
        recorder.batch(x, y)
        optimizer.zero_grad()
        loss = model(x, y)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)


@recorded
def optimizers(recorder, device, optimizer, steps=40, **settings):
    """A small classifier under an optimizer of torch."""
    model = nn.Sequential(
        nn.Linear(16, 32, bias=False), nn.Tanh(), nn.Linear(32, 32, bias=False), nn.Tanh(), nn.Linear(32, 5, bias=False)
    ).to(device)
    chosen = getattr(torch.optim, optimizer)(model.parameters(), **settings)
    fit(recorder, model, chosen, noise(32, 16, steps=steps, classes=5, device=device))


@recorded
def awkward_numbers(recorder, device, steps=30):
    """Numbers that are nearly zero, that jump, or that are hardly any numbers."""
    model = mlp(16, 32, 5).to(device)
    optimizer = SGD(model.parameters(), lr=0.2, momentum=0.9)
    recorder.watch(model, optimizer)
    for x, y in noise(32, 16, steps=steps, classes=5, device=device):
        recorder.batch(x, y)
        optimizer.zero_grad()
        logits = model(x)
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        clipped = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        right, hidden = logits.argmax(1) == y, model[:2](x)
        recorder.log(loss=loss, accuracy=right.double().mean(), right=right.sum(), norm=clipped)
        recorder.log(
            centred=(hidden - hidden.mean(0)).mean(), mean=hidden.mean(), product=(hidden[:, 0] @ hidden[:, 1])
        )
        recorder.log(
            perplexity=loss.exp(), largest=logits.max(), place=logits.argmax(), smallest=logits.softmax(1).min()
        )
        recorder.log(gain=loss - loss.detach().log().exp(), small=(loss * 1e-6), scaled=float(f"{loss.item():.4g}"))
        recorder.log(sharpness=logits.std() ** 2 - logits.var(), spread=logits.var(0))


@recorded
def float_images(recorder, device, steps=15):
    """Batches of floats: each image is brought to mean 0 and deviation 1 by itself, and brightened."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )
    images, labels = pictures(64, "cpu")
    model(images[:1])
    model = model.to(device)
    deviation, mean = torch.std_mean(images, (1, 2, 3), keepdim=True)
    images = ((images - mean) / deviation * torch.rand(64, 3, 1, 1).exp()).to(device)
    fit(recorder, model, SGD(model.parameters(), lr=0.02, momentum=0.9), drawn((images, labels.to(device)), 16, steps))


@recorded
def whitened(recorder, device, steps=15):
    """Images that are whitened first: the data multiply rounding before any weight sees them."""
    images, labels = pictures(128, "cpu")
    flat = functional.avg_pool2d(images, 4).flatten(1)
    flat = flat - flat.mean(0)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    white = (flat @ vectors @ (vectors / (values.clamp(min=0) + 1e-4).sqrt()).T).to(device)
    model = mlp(192, 32, 10).to(device)
    fit(recorder, model, SGD(model.parameters(), lr=0.1), drawn((white, labels.to(device)), 32, steps))


@recorded
def averaged(recorder, device, steps=30):
    """Clipping, one cycle of the rate, an average of the weights, and an evaluation of it."""
    model = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5)).to(device)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    recorder.watch(model, optimizer)
    recorder.watch(average, name="average")
    held = next(noise(40, 16, steps=1, classes=5, device=device))
    for step, (x, y) in enumerate(noise(32, 16, steps=steps, classes=5, device=device)):
        recorder.batch(x, y)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.train()(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        cycle.step()
        average.update_parameters(model)
        recorder.log(loss=loss)
        if step % 10 == 9:
            with torch.no_grad():
                logits = average.eval()(held[0])
            accuracy = (logits.argmax(1) == held[1]).double().mean()
            recorder.evaluation(loss=functional.cross_entropy(logits, held[1]), accuracy=accuracy)


@recorded
def contrastive(recorder, device, steps=30):
    """Two views of each input must find each other, at a low temperature."""
    model = mlp(16, 64, 16, activation=nn.ReLU).to(device)

    def loss(codes, labels):
        one, two = functional.normalize(codes, dim=1).chunk(2)
        return functional.cross_entropy(one @ two.T / 0.07, labels)

    views = ((torch.randn(32, 16).repeat(2, 1) + torch.randn(64, 16) / 4).to(device) for _ in range(steps))
    fit(recorder, model, Adam(model.parameters(), lr=3e-3), ((x, torch.arange(32).to(device)) for x in views), loss)


@recorded
def physics(recorder, device, steps=30):
    """A network that solves a differential equation: second derivatives in the loss."""
    model = mlp(1, 24, 24, 1).to(device)
    optimizer = Adam(model.parameters(), lr=5e-3)
    recorder.watch(model, optimizer)
    for _ in range(steps):
        x = torch.rand(48, 1).to(device).requires_grad_()
        recorder.batch(x)
        optimizer.zero_grad()
        y = model(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        loss = ((bend + math.pi**2 * y) ** 2).mean() + (model(torch.zeros(1, 1, device=device)) ** 2).sum()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)


@recorded
def edge(recorder, device, rate, steps=60):
    """Whole-batch descent at a rate where the loss no longer falls at every step, or goes to infinity."""
    model = mlp(8, 32, 32, 1).to(device)
    x = torch.randn(64, 8).to(device)
    y = torch.sin(3 * x[:, :1])
    fit(recorder, model, SGD(model.parameters(), lr=rate), ((x, y) for _ in range(steps)), functional.mse_loss)


@recorded
def deep(recorder, device, steps=40):
    """Twenty layers, momentum 0.99."""
    model = mlp(16, *[24] * 20, 5).to(device)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=1.1)
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.99)
    fit(recorder, model, optimizer, noise(32, 16, steps=steps, classes=5, device=device))


@recorded
def quantised(recorder, device, steps=40):
    """An autoencoder with a discrete code."""
    model = Quantised().to(device)
    x = torch.randn(64, 12).to(device)

    def loss(output, wanted):
        return functional.mse_loss(output[0], wanted) + output[1]

    fit(recorder, model, Adam(model.parameters(), lr=5e-3), ((x, x) for _ in range(steps)), loss)


@recorded
def experts(recorder, device, steps=40):
    """A router that chooses one expert."""
    model = Experts().to(device)
    fit(recorder, model, AdamW(model.parameters(), lr=5e-3), noise(32, 16, steps=steps, classes=5, device=device))


@recorded
def graph(recorder, device, steps=25):
    """Messages along the edges of a graph: sums at random places."""
    one, two = nn.Linear(8, 32).to(device), nn.Linear(32, 4).to(device)
    model = nn.ModuleList([one, two])
    optimizer = Adam(model.parameters(), lr=1e-2)
    recorder.watch(model, optimizer)
    nodes, labels = torch.randn(64, 8).to(device), torch.randint(4, (64,)).to(device)
    source, goal = (torch.randint(64, (400,)).to(device) for _ in range(2))
    for _ in range(steps):
        recorder.batch(nodes, labels)
        optimizer.zero_grad()
        hidden = one(nodes)
        hidden = functional.elu(hidden.index_add(0, goal, hidden[source]))
        loss = functional.cross_entropy(two(hidden.index_add(0, goal, hidden[source]) / 8), labels)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)


@recorded
def spectral(recorder, device, steps=30):
    """Layers divided by their largest singular value, which a buffer follows."""
    layers = [spectral_norm(nn.Linear(a, b)) for a, b in ((16, 32), (32, 32))]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), nn.Linear(32, 5)).to(device)
    fit(recorder, model, Adam(model.parameters(), lr=5e-3), noise(32, 16, steps=steps, classes=5, device=device))


def _resnets() -> Iterator[Program]:
    for rate, steps, seeds in ((0.1, 36, 4), (0.01, 36, 2), (0.3, 36, 3), (0.1, 100, 1), (0.3, 100, 1)):
        yield Program(f"resnet, rate {rate}, {steps} steps", resnet, {"rate": rate, "steps": steps}, range(seeds))


def _optimizers() -> Iterator[Program]:
    settings = {
        "RMSprop": {"lr": 1e-3},
        "Adagrad": {"lr": 5e-2},
        "Adadelta": {"lr": 1.0},
        "NAdam": {"lr": 5e-3},
        "Rprop": {"lr": 1e-3},
        "Adam": {"lr": 5e-3, "amsgrad": True},
        "Muon": {"lr": 1e-2},
    }
    for name, options in settings.items():
        yield Program(name, optimizers, {"optimizer": name, **options})


PROGRAMS = (
    Program("article", recipe, {"name": "article", "train_images": 72, "batch_size": 32}, (0,)),
    Program("cifar_cnn", recipe, {"name": "cifar_cnn"}, (0, 1)),
    Program("cifar_cnn, AdamW", recipe, {"name": "cifar_cnn", "optimizer": "adamw", "learning_rate": 3e-3}, (0, 1)),
    Program("cifar_resnet", recipe, {"name": "cifar_resnet"}, (0, 1)),
    Program("study", study, devices=("cpu",)),
    *_resnets(),
    Program("LBFGS", lbfgs, {"search": None}),
    Program("LBFGS, strong Wolfe", lbfgs, {"search": "strong_wolfe"}),
    Program("transformer", transformer, {"steps": 30}),
    Program("GAN", gan),
    Program("GAN, penalised", penalised_gan),
    Program("max-pooling", maxpool),
    Program("wide", wide),
    Program("LSTM", language, {"kind": nn.LSTM}),
    Program("GRU", language, {"kind": nn.GRU}),
    Program("chaotic RNN", language, {"kind": nn.RNN, "gain": 1.5}, devices=("cpu",)),  # drawn on the device
    Program("converging", converging),
    Program("converging from zero", converging_from_zero),
    Program("autoencoder", autoencoder),
    Program("diffusion", diffusion),
    Program("variational", variational),
    Program("policy gradient", policy_gradient),
    Program("Q-learning", q_learning),
    Program("low rank", low_rank),
    Program("zero start", zero_start),
    Program("few weights", line, {"points": 4096, "noise": 0.1, "steps": 30}),
    Program("noisy line", line, {"points": 20_000, "noise": 100, "steps": 60}),
    Program("Gaussian process", gaussian_process),
    *_optimizers(),
    Program("awkward numbers", awkward_numbers),
    Program("float images", float_images),
    Program("whitened", whitened),
    Program("averaged", averaged),
    Program("contrastive", contrastive),
    Program("physics", physics),
    Program("edge", edge, {"rate": 0.3}),
    Program("diverging", edge, {"rate": 1.5}),
    Program("deep", deep, devices=("cpu",)),  # likewise
    Program("quantised", quantised),
    Program("experts", experts),
    Program("graph", graph),
    Program("spectral", spectral),
)
"""All of them."""
APART = {
    "Muon": "torch's Muon computes its step in bfloat16, whatever the training is in",
    "whitened": "the data multiply rounding before any weight sees them",
    "diverging": "its numbers reach 1e194 and mean nothing",
}
"""Programs that no jitter of weights can speak for, and why; they are judged, and shown apart."""
