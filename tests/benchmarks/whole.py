"""What a whole training costs, and what its TensorBoard run adds, which is written once, at its end.

Ours is all that the gate does: the steps, evaluations and the resume of `harness.train`, and the run as the gate writes
it. Theirs, bare, takes turns with it step by step, and evaluates after each epoch, too.
"""

import contextlib
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from harness import Recipe, train, write_events
from harness.explaining.tracing import Tracing
from harness.recording.perturbation import Enough, Perturbation, perturbed
from harness.shipped.augmentation import normalise
from harness.shipped.dataset import Dataset
from harness.shipped.load import load_dataset
from harness.shipped.loop import _EVALUATION_BATCH, _scores


__all__ = ["evaluate", "whole_lines"]

_LOADED_ONCE = ("matplotlib.pyplot", "seaborn", "torch.utils.tensorboard")
"""A session loads them once, however many trainings it writes."""


def whole_lines(recipe: Recipe, theirs: Callable[[Recipe, Dataset], Iterator[float]]) -> list[str]:
    """Return rows of the table: the training alone, with its TensorBoard run, with labelled figures in that, traced."""
    for name in _LOADED_ONCE:
        importlib.import_module(name)
    dataset = load_dataset(recipe.data).first(recipe.train_images, recipe.test_images)
    opponent = _Opponent(theirs(recipe, dataset), recipe.num_steps)
    before = time.process_time()
    record = train(recipe, progress=opponent.turn)
    trained = time.process_time() - before - opponent.seconds
    added = {"recorded": 0.0}
    for what, labelled in (("recorded, with TensorBoard", False), ("recorded, with TensorBoard and figures", True)):
        before = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            write_events(record, Path(folder), labelled=labelled)
        added[what] = time.process_time() - before
    lines = [_line(f"{recipe.title}, {what}", trained + more, opponent.seconds) for what, more in added.items()]
    return [*lines, _line(f"{recipe.title}, traced, against recorded", _traced(recipe), trained)]


def _traced(recipe: Recipe) -> float:
    """Return the seconds of the training that a baseline and a red check run again for its operations."""
    before = time.process_time()
    plant = Tracing(Path.cwd(), early=True)
    with plant.building(), perturbed(Perturbation(plant=plant)), contextlib.suppress(Enough):
        train(recipe)
    return time.process_time() - before


def _line(what: str, ours: float, theirs: float) -> str:
    return f"{what:<48}{1000 * ours:>9.2f}{1000 * theirs:>11.2f}{ours / theirs:>8.3f}  {'-':>7}"


class _Opponent:
    """Their training: takes a step whenever ours has taken one.

    Args:
        loop: the training.
        num_steps: of both.
    """

    def __init__(self, loop: Iterator[float], num_steps: int) -> None:
        self._loop = loop
        self._num_steps = num_steps
        self.seconds = 0.0

    def turn(self, step: int, loss: float) -> None:
        """Take a step; after the last one, what is left."""
        before = time.process_time()
        next(self._loop)
        if step == self._num_steps - 1:
            assert next(self._loop, None) is None, "their training has as many steps as ours"
        self.seconds += time.process_time() - before


@torch.no_grad()
def evaluate(models: Sequence[nn.Module], dataset: Dataset) -> None:
    """Evaluate models as the recipes' training does, and forget the scores."""
    for model in models:
        model.eval()
        parts = dataset.test_images_NHWC.split(_EVALUATION_BATCH)
        logits_NK = torch.cat([model(normalise(part, torch.float64)) for part in parts])
        _scores(logits_NK, dataset.test_labels_N)
