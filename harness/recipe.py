"""What to train: a frozen, validated, hashable description. It holds no tensors and imports no torch."""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from harness.errors import ArgumentError


if TYPE_CHECKING:
    from torch import nn


CLASSES = 10
"""Classes of both data sets, and logits of every model."""

Precision = Literal["float64", "float32", "bfloat16"]
ModelFunction = Callable[[], "nn.Module"]

_Rule = tuple[Callable[[Any], bool], str]
"""Tells whether a value is valid, and what it must be."""


def _one_of(*names: str) -> _Rule:
    return lambda value: value in names, "one of " + ", ".join(names)


def _at_least(least: int) -> _Rule:
    return lambda value: _whole(value, least), f"a whole number of at least {least}"


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < sys.float_info.max  # also of an int that no float can hold; NaN is below nothing


def _or_none(rule: _Rule) -> _Rule:
    valid, words = rule
    return lambda value: value is None or valid(value), f"None or {words}"


def _model(value: object) -> bool:
    built = hasattr(value, "state_dict") and not isinstance(value, type)  # a module, where its class was meant
    return (isinstance(value, str) and bool(value)) or (callable(value) and not built)


_MODEL: _Rule = (_model, "the name of a model, or a class or function that builds one (not the module itself)")
_SEED: _Rule = (lambda value: _whole(value, 0) and value < 2**63 - 9, "a whole number from 0 to 2**63 - 10")
_TEXT: _Rule = (lambda value: isinstance(value, str), "a text")
_FLAG: _Rule = (lambda value: isinstance(value, bool), "True or False")
_POSITIVE: _Rule = (lambda value: _number(value) and value > 0, "a finite number above 0")
_NOT_NEGATIVE: _Rule = (lambda value: _number(value) and value >= 0, "a finite number of at least 0")
_FRACTION: _Rule = (lambda value: _number(value) and 0 <= value < 1, "a number from 0 up to, not including, 1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One short seeded training.

    The defaults are event-dense: three epochs, a partial last batch, augmentation, dropout, weight-decay
    groups, warm-up and decay, clipping that clips, accumulation, averaged weights, an evaluation an epoch and
    a save and resume in the middle. A branch that never runs cannot be judged.

    Raises:
        ArgumentError: a field is outside its range; the message names field, value and rule.
    """

    model: Annotated["str | ModelFunction", _MODEL] = "cifar_cnn"
    """Name of a shipped model (`models.MODELS`), or a function that builds one when called without arguments."""
    data: Annotated[Literal["synthetic", "cifar10"], _one_of("synthetic", "cifar10")] = "synthetic"
    """Data set: embedded, or CIFAR-10 from files."""
    precision: Annotated[Precision, _one_of(*get_args(Precision))] = "float64"
    """Number format; bfloat16 is autocast over float32 weights."""
    seed: Annotated[int, _SEED] = 0
    """Seed of initialisation, data order, augmentation and dropout; each has a generator of its own."""
    name: Annotated[str, _TEXT] = ""
    """What the training is called in reports; the model's name if empty."""
    width: Annotated[int, _at_least(1)] = 12
    """Channels of the first convolution of a shipped model."""
    dropout: Annotated[float, _FRACTION] = 0.1
    """Probability of a shipped model's dropout, where it has one."""
    epochs: Annotated[int, _at_least(1)] = 3
    """Passes over the training images."""
    train_images: Annotated[int, _at_least(1)] = 276
    """Training images in use: the first of the data set."""
    test_images: Annotated[int, _at_least(1)] = 100
    """Test images in use: the first of the data set."""
    batch_size: Annotated[int, _at_least(1)] = 32
    """Images an optimizer step; the last batch of an epoch may be smaller."""
    accumulation: Annotated[int, _at_least(1)] = 2
    """Micro-batches an optimizer step."""
    augmentation: Annotated[bool, _FLAG] = True
    """Random crop with padding 4 and horizontal flip."""
    optimizer: Annotated[Literal["sgd", "adamw"], _one_of("sgd", "adamw")] = "sgd"
    """torch.optim.SGD or AdamW."""
    learning_rate: Annotated[float, _POSITIVE] = 0.25
    """Peak learning rate."""
    momentum: Annotated[float, _FRACTION] = 0.9
    """Momentum of SGD."""
    nesterov: Annotated[bool, _FLAG] = True
    """Nesterov's form of SGD's momentum."""
    weight_decay: Annotated[float, _NOT_NEGATIVE] = 5e-4
    """Weight decay of matrices and kernels; vectors (biases, BatchNorm) form a second group without it."""
    schedule: Annotated[Literal["cosine", "step", "constant"], _one_of("cosine", "step", "constant")] = "cosine"
    """Decay of the learning rate per step, after warm-up; "step" divides by 10 at 1/2 and 3/4 of the run."""
    warmup_steps: Annotated[int, _at_least(0)] = 4
    """Steps of linear warm-up."""
    clip_norm: Annotated[float | None, _or_none(_POSITIVE)] = 1.0
    """Largest total gradient norm; None never clips."""
    label_smoothing: Annotated[float, _FRACTION] = 0.1
    """Label smoothing of the training loss."""
    ema_decay: Annotated[float | None, _or_none(_FRACTION)] = 0.9
    """Decay of the exponential moving average of weights and buffers; None keeps no average."""
    resume: Annotated[bool, _FLAG] = True
    """Save in the middle of the run and go on with freshly built objects that load it."""

    def __post_init__(self) -> None:
        check_fields("Recipe", **{field: getattr(self, field) for field in _RULES})
        if self.nesterov and self.optimizer == "sgd" and self.momentum == 0:
            raise ArgumentError.of("Recipe", "nesterov", True, "False when momentum is 0")

    @property
    def model_name(self) -> str:
        """The model's name: a shipped one's, or `module.function` of a function, with a partial's arguments."""
        if isinstance(self.model, str):
            return self.model
        function = getattr(self.model, "func", self.model)  # of a functools.partial
        function = function if hasattr(function, "__qualname__") else type(function)
        name = f"{function.__module__}.{function.__qualname__}"
        given = [*map(repr, getattr(self.model, "args", ()))]
        given += [f"{key}={value!r}" for key, value in getattr(self.model, "keywords", {}).items()]
        return f"{name}({', '.join(given)})" if given else name

    @property
    def title(self) -> str:
        """What the training is called in reports."""
        return self.name or self.model_name

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch."""
        return math.ceil(self.train_images / self.batch_size)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the run."""
        return self.epochs * self.steps_per_epoch

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, the model as its name: what a record keeps."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "model": self.model_name}

    @property
    def digest(self) -> str:
        """Twelve hex digits that stay the same on every machine as long as the fields do."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


_RULES: dict[str, _Rule] = {field.name: get_args(field.type)[1] for field in dataclasses.fields(Recipe)}


def check_fields(owner: str, **values: object) -> None:
    """Check values that a recipe could have, by field, for an owner: Recipe, Recorder.

    Raises:
        ArgumentError: a value is outside its field's range.
    """
    for field, value in values.items():
        valid, rule = _RULES[field]
        if not valid(value):
            raise ArgumentError.of(owner, field, value, rule)
