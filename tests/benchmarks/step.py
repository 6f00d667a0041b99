"""How much a recorded training step costs: `python -m tests.benchmarks.step`.

Every ratio comes from two loops that take turns in one process, a few steps each, on one thread, so that whatever
else the machine does meets both; what is counted is the process's own time. Single steps in turns would find the
caches as the other loop has left them, as no training does. A ratio is the median over the pairs of turns. glibc is
told to keep what is freed: whether it gives memory back, and takes it again page by page, hangs on where each block
lies, and may cost one of two equal loops 2 ms a step more than the other.

1. A recorded step against the same step as one would write it without the harness: the shipped recipes, and variants
   of them that take about 15 and 50 ms, for which the limits are set.
2. The recorded step of the article's recipe, in float32, against the article's own loop.
3. A whole training, evaluations included, against the same one bare: recorded, with the TensorBoard run that the gate
   writes of every training (curves, histograms, image grids), and with the labelled figures that it draws of those that
   differ; and traced, as it is run again for a baseline and for one that differs, against the recorded one. There is
   no limit for these.

The data are the embedded set, or CIFAR-10 where the environment variable HARNESS_CIFAR10 says.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import functools
import itertools
import math
import operator
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median, stdev

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import optimizer as hooks_of
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.transforms import ToTensor

from harness import Recipe, Recorder, recipes
from harness.record.environment import describe
from harness.shipped.augmentation import crop_and_flip, normalise
from harness.shipped.batches import batches
from harness.shipped.dataset import Dataset
from harness.shipped.load import CIFAR10_VARIABLE, load_dataset
from harness.shipped.loop import _optimizer, _rate, _Run
from harness.shipped.models import CifarCNN, build_model
from tests.benchmarks.whole import evaluate, whole_lines


DATA = "cifar10" if os.environ.get(CIFAR10_VARIABLE) else "synthetic"
HOLDS = {"at most": operator.le, "below": operator.lt}
EPOCHS = 1000  # more than any budget reaches
WARM_UP = 3  # first pairs that do not count
TURN = 2  # steps of a loop until it is the other one's turn
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_OF_MEDIAN = math.sqrt(math.pi / 2)  # its error by that of a mean, of values that scatter normally
LEAST = 3  # pairs that count, however small the budget

Loop = Callable[[Recipe, Dataset], Iterator[float]]
"""A training without an end in sight; each `next` is one step and gives its loss."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a recipe, the loop to hold it against, and what the ratio of their times must be.

    Args:
        what: first column.
        recipe: what we train.
        theirs: the other loop.
        must: "at most" or "below".
        limit: at most or below what.
    """

    what: str
    recipe: Recipe
    theirs: Loop
    must: str
    limit: float


# --- ours: the real code path


def recorded(recipe: Recipe, dataset: Dataset, recorder: Recorder) -> Iterator[float]:
    """The training of `harness.train`, without its evaluations and its resume."""
    run = _Run(recipe, dataset, "cpu", recorder)
    steps = itertools.count()
    for _ in range(recipe.epochs):
        for indices_N in batches(recipe.train_images, recipe.batch_size, run.order):
            yield run._step(indices_N, next(steps))


# --- the same step, bare


def bare(recipe: Recipe, dataset: Dataset, *, evaluating: bool = False) -> Iterator[float]:
    """What `recorded` trains, written down without the harness' loop and recorder.

    Args:
        recipe: what to train.
        dataset: its data.
        evaluating: whether model and average are evaluated after each epoch.
    """
    order = torch.Generator().manual_seed(recipe.seed)
    augmentation = torch.Generator().manual_seed(recipe.seed + 1)
    model = build_model(recipe)
    optimizer = _optimizer(recipe, model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(recipe, step))
    average = _average(recipe, model)
    for _ in range(recipe.epochs):
        for indices_N in batches(recipe.train_images, recipe.batch_size, order):
            images_NCHW, labels_N = _batch(recipe, dataset, indices_N, augmentation)
            model.train()
            optimizer.zero_grad()
            loss = _backward(recipe, model, images_NCHW, labels_N)
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            schedule.step()
            if average:
                average.update_parameters(model)
            yield loss
        if evaluating:
            evaluate([model, average] if average else [model], dataset)


def _batch(recipe: Recipe, dataset: Dataset, indices_N: Tensor, augmentation: torch.Generator) -> tuple[Tensor, Tensor]:
    images_NHWC = dataset.train_images_NHWC[indices_N]
    if recipe.augmentation:
        images_NHWC = crop_and_flip(images_NHWC, augmentation)
    return normalise(images_NHWC, torch.float64), dataset.train_labels_N[indices_N]


def _average(recipe: Recipe, model: nn.Module) -> AveragedModel | None:
    if recipe.ema_decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)


def _backward(recipe: Recipe, model: nn.Module, images_NCHW: Tensor, labels_N: Tensor) -> float:
    """Add up the gradients of a batch's micro-batches; return the batch's mean loss."""
    size = math.ceil(len(labels_N) / recipe.accumulation)
    total = 0.0
    for part_NCHW, part_N in zip(images_NCHW.split(size), labels_N.split(size), strict=True):
        smoothing = recipe.label_smoothing
        loss = functional.cross_entropy(model(part_NCHW), part_N, label_smoothing=smoothing, reduction="sum")
        loss = loss / len(labels_N)
        loss.backward()
        total += loss.item()
    return total


# --- the article's own loop


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Training images as torchvision's CIFAR10 hands them out: by way of Pillow, through a transform."""

    def __init__(self, dataset: Dataset) -> None:
        self.data = dataset.train_images_NHWC.numpy()
        self.targets = dataset.train_labels_N.tolist()
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def article_loop(recipe: Recipe, dataset: Dataset) -> Iterator[float]:
    """The article's program, repaired: its network, its loader, its optimizer, its running loss."""
    loader = DataLoader(Images(dataset), batch_size=64, shuffle=True, num_workers=0)
    model = CifarCNN(width=64)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    for _ in range(recipe.epochs):
        running_loss = 0.0
        for images_NCHW, labels_N in loader:
            optimizer.zero_grad()
            loss = criterion(model(images_NCHW), labels_N)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            yield running_loss


# --- measuring and printing


def rows() -> list[Row]:
    """Return what is measured, in the order of the table."""
    shipped = [make(DATA) for make in (recipes.cifar_cnn, recipes.cifar_resnet, recipes.article)]
    article = dataclasses.replace(recipes.article(DATA), precision="float32")
    short = dataclasses.replace(shipped[1], name="cifar_resnet, 22 images", batch_size=22, accumulation=1)
    long = dataclasses.replace(shipped[0], name="cifar_cnn, width 28", width=28)
    against_bare = [Row(f"{recipe.title} against the bare step", recipe, bare, "at most", 1.10) for recipe in shipped]
    sized = [
        Row(f"{short.title} against the bare step", short, bare, "at most", 1.10),
        Row(f"{long.title} against the bare step", long, bare, "at most", 1.03),
    ]
    return [*against_bare, *sized, Row("article, float32, against its own loop", article, article_loop, "below", 1.0)]


def measure(row: Row, seconds: float) -> list[tuple[float, float]]:
    """Return the seconds of our and their step, the mean of a turn, as many pairs as the budget allows."""
    recipe = dataclasses.replace(row.recipe, epochs=EPOCHS)
    dataset = load_dataset(recipe.data).first(recipe.train_images, recipe.test_images)
    end = time.perf_counter() + seconds
    pairs = []
    with Recorder(precision=recipe.precision, seed=recipe.seed) as recorder:  # sets the globals for both
        ours, theirs = recorded(recipe, dataset, recorder), row.theirs(recipe, dataset)
        while len(pairs) < WARM_UP + LEAST or time.perf_counter() < end:
            pairs.append((_timed(ours), _alone(theirs)))
    return pairs[WARM_UP:]


def _alone(loop: Iterator[float]) -> float:
    """Time a loop that no recorder sees: ours hangs on the steps of every optimizer."""
    hung = hooks_of._global_optimizer_pre_hooks, hooks_of._global_optimizer_post_hooks
    ours = [dict(each) for each in hung]
    for each in hung:
        each.clear()
    try:
        return _timed(loop)
    finally:
        for each, kept in zip(hung, ours, strict=True):
            each.update(kept)


def _timed(loop: Iterator[float]) -> float:
    before = time.process_time()
    for _ in range(TURN):
        next(loop)
    return (time.process_time() - before) / TURN


def line(row: Row, pairs: list[tuple[float, float]]) -> str:
    """Return a row of the table."""
    ours, theirs = (1000 * median(times) for times in zip(*pairs, strict=True))
    ratio = median(our / their for our, their in pairs)
    error = _OF_MEDIAN * stdev(our / their for our, their in pairs) / math.sqrt(len(pairs))
    verdict = "ok" if HOLDS[row.must](ratio, row.limit) else "over"
    shown = f"{row.what:<48}{ours:>9.2f}{theirs:>11.2f}{ratio:>8.3f} +-{error:.3f}"
    return f"{shown}  {row.must:>7} {row.limit:.2f}  {verdict}"


def keep_memory() -> None:
    """Have glibc map no block of its own below 32 MB, the most that it takes, and give none back."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 32 << 20)
        ctypes.CDLL(None).mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def machine() -> str:
    """Return what the times depend on."""
    found = describe("cpu")
    return f"torch {found['torch']}, {found['threads']} thread, {found['processor']}, {found['instructions']}"


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    told = "rough budget (default: 120); whole trainings come on top"
    parser.add_argument("--seconds", type=float, default=120, help=told)
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    keep_memory()
    print(machine())
    print(f"data: {DATA}; medians of steps in ms, ratio: median over pairs of turns; whole trainings in ms\n")
    print(f"{'what':<48}{'ours':>9}{'theirs':>11}{'ratio':>8}              must be")
    table = rows()
    for row in table:
        print(line(row, measure(row, seconds / len(table))), flush=True)
    print(*whole_lines(recipes.cifar_cnn(DATA), functools.partial(bare, evaluating=True)), sep="\n")


if __name__ == "__main__":
    main()
