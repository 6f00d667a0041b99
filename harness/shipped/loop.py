"""The only training loop of our own."""

import contextlib
import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from harness.errors import ModelError
from harness.recipe import CLASSES, Recipe
from harness.record.environment import require_device
from harness.record.record import Record
from harness.recording.recorder import Recorder
from harness.recording.states import States
from harness.shipped.augmentation import crop_and_flip, normalise
from harness.shipped.batches import batches
from harness.shipped.dataset import Dataset
from harness.shipped.load import load_dataset
from harness.shipped.models import build_model


Progress = Callable[[int, float], None]
"""Called after each step with its number (0-based) and loss."""

_EVALUATION_BATCH = 250


def train(
    recipe: Recipe,
    device: str = "cpu",
    *,
    cifar10: str | Path | None = None,
    progress: Progress | None = None,
    states: States | None = None,
) -> Record:
    """Run a recipe's training and return its record; works without pytest.

    Args:
        recipe: what to train.
        device: cpu, cuda or mps.
        cifar10: where CIFAR-10 is, for recipes that need it; the environment variable HARNESS_CIFAR10 otherwise.
        progress: called after each step.
        states: states to fill, or to put back into the training.

    Raises:
        DeviceError: the device is unknown, absent, or cannot compute in the recipe's precision.
        DataError: the data set is missing, broken or too small.
        ModelError: the model is none, or returns something else than logits.
        ArgumentError: no shipped model has the recipe's name.
    """
    require_device(device, recipe.precision)
    dataset = load_dataset(recipe.data, cifar10).first(recipe.train_images, recipe.test_images)
    recorder = Recorder(
        precision=recipe.precision, seed=recipe.seed, name=recipe.title, config=recipe.to_dict(), states=states
    )
    with recorder:
        _Run(recipe, dataset, device, recorder).train(progress)
    data = {"name": dataset.name, "sha256": dataset.sha256}
    return dataclasses.replace(recorder.record, data=data)


class _Run:
    """A training under way: model, optimizer, schedule, average and generators."""

    def __init__(self, recipe: Recipe, dataset: Dataset, device: str, recorder: Recorder) -> None:
        self.recipe, self.dataset, self.device, self.recorder = recipe, dataset, device, recorder
        # float32 convolutions run up to 40 % faster on images whose channels lie together; float64 ones do not
        self.dtype, self.layout = torch.float32, torch.channels_last
        if recipe.precision == "float64":
            self.dtype, self.layout = torch.float64, torch.contiguous_format
        self._build(recorder.seed)

    def _build(self, seed: int) -> None:
        recipe = self.recipe
        # a generator each, so that drawing more for one purpose does not shift another
        self.order, self.augmentation = (torch.Generator().manual_seed(seed + i) for i in range(2))
        self.model = build_model(recipe).to(self.device).to(memory_format=self.layout)
        self.optimizer = _optimizer(recipe, self.model)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _rate(recipe, step))
        self.recorder.watch(self.model, self.optimizer)
        self.average = None
        if recipe.ema_decay is not None:
            average = get_ema_multi_avg_fn(recipe.ema_decay)
            self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
            self.recorder.watch(self.average, name="average")

    def train(self, progress: Progress | None) -> None:
        step = 0
        for _ in range(self.recipe.epochs):
            for indices_N in batches(self.recipe.train_images, self.recipe.batch_size, self.order):
                loss = self._step(indices_N, step)
                step += 1
                if self.recipe.resume and step == self.recipe.num_steps // 2:
                    self._resume()
                if progress:
                    progress(step - 1, loss)
            self._evaluate(step - 1)

    def _step(self, indices_N: Tensor, step: int) -> float:
        images_NHWC = self.dataset.train_images_NHWC[indices_N]
        labels_N = self.dataset.train_labels_N[indices_N]
        if self.recipe.augmentation:
            images_NHWC = crop_and_flip(images_NHWC, self.augmentation)
        self.recorder.batch(images_NHWC, labels_N, order=indices_N)
        self.model.train()
        self.optimizer.zero_grad()
        loss = float(self._backward(images_NHWC, labels_N.to(self.device), step))
        self.recorder.log(loss=loss)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.average:
            self.average.update_parameters(self.model)
        return loss

    def _backward(self, images_NHWC: Tensor, labels_N: Tensor, step: int) -> Tensor:
        """Add up the gradients of a batch's micro-batches; return the batch's mean loss."""
        images_NCHW = self._input(images_NHWC)
        size = math.ceil(len(labels_N) / self.recipe.accumulation)
        total = torch.zeros((), device=self.device)
        for part_NCHW, part_N in zip(images_NCHW.split(size), labels_N.split(size), strict=True):
            logits_NK = self._logits(self.model, part_NCHW, step)
            smoothing = self.recipe.label_smoothing
            loss = functional.cross_entropy(logits_NK, part_N, label_smoothing=smoothing, reduction="sum") / len(
                labels_N
            )
            loss.backward()
            total += loss.detach()
        return total

    def _input(self, images_NHWC: Tensor) -> Tensor:
        return normalise(images_NHWC, self.dtype, self.device).contiguous(memory_format=self.layout)

    def _logits(self, model: nn.Module, images_NCHW: Tensor, step: int) -> Tensor:
        low = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device, torch.bfloat16) if low else contextlib.nullcontext():
            output = model(images_NCHW)
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if found != (expected := (len(images_NCHW), CLASSES)):
            raise ModelError.output(step=step, found=found, expected=expected, model=self.recipe.model_name)
        logits_NK: Tensor = output.to(self.dtype)
        return logits_NK

    def _evaluate(self, step: int) -> None:
        images_NHWC, labels_N = self.dataset.test_images_NHWC, self.dataset.test_labels_N
        logits_NK = self._predict(self.model, step)
        self.recorder.evaluation(**_scores(logits_NK, labels_N))
        confidence_N, predicted_N = logits_NK.softmax(1).amax(1), logits_NK.argmax(1)
        self.recorder.keep_predictions(images_NHWC, labels_N, predicted_N, confidence=confidence_N)
        if self.average:
            scores = _scores(self._predict(self.average, step), labels_N)
            self.recorder.evaluation(average_loss=scores["loss"], average_accuracy=scores["accuracy"])

    @torch.no_grad()
    def _predict(self, model: nn.Module, step: int) -> Tensor:
        """Return the logits of all test images, shape (N, 10), on the CPU."""
        model.eval()
        parts = self.dataset.test_images_NHWC.split(_EVALUATION_BATCH)
        return torch.cat([self._logits(model, self._input(part), step).cpu() for part in parts])

    def _resume(self) -> None:
        """Save everything, build everything anew, load it: what a user does after an interruption."""
        saved, seed = io.BytesIO(), self.recorder.seed
        torch.save(self._state(), saved)
        # a resume that forgets to load weights or generators has others
        torch.manual_seed(seed + 2)
        self._build(seed + 2)
        saved.seek(0)
        self._load(torch.load(saved, weights_only=True))

    def _state(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {name: generator.get_state() for name, generator in self._generators().items()}

    def _load(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for name, generator in self._generators().items():
            generator.set_state(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, "average": self.average}
        return {name: part for name, part in parts.items() if part is not None}

    def _generators(self) -> dict[str, torch.Generator]:
        return {"random": torch.default_generator, "order": self.order, "augmentation": self.augmentation}


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer; matrices and kernels decay, vectors (biases, BatchNorm) do not."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov)


def _rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step as a share of the peak: linear warm-up, then the decay."""
    if step < recipe.warmup_steps:
        return (step + 1) / (recipe.warmup_steps + 1)
    if recipe.schedule == "cosine":
        done = (step - recipe.warmup_steps) / max(1, recipe.num_steps - recipe.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))
    done = step / recipe.num_steps
    return 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)) if recipe.schedule == "step" else 1.0


def _scores(logits_NK: Tensor, labels_N: Tensor) -> dict[str, Any]:
    """Return mean loss, accuracy, accuracy per class (in the classes' order) and count of an evaluation."""
    right_N = logits_NK.argmax(1) == labels_N
    classes = labels_N.unique().tolist()
    return {
        "loss": float(functional.cross_entropy(logits_NK, labels_N)),
        "accuracy": float(right_N.double().mean()),
        **{f"class_accuracy[{k}]": float(right_N[labels_N == k].double().mean()) for k in classes},
        "count": len(labels_N),
    }
