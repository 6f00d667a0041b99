"""What to train: a frozen, validated, hashable description. It holds no tensors and imports no torch."""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from harness.errors import ArgumentError


if TYPE_CHECKING:
    from torch import nn


CLASSES = 10
"""Classes of both data sets, and logits of every model."""

Precision = Literal["float64", "float32", "bfloat16"]
ModelFunction = Callable[[], "nn.Module"]


def _rule(valid: Callable[[Any], bool], words: str) -> dict[str, Any]:
    """Return metadata of a field: whether a value is valid, and what it must be."""
    return {"valid": valid, "words": words}


def _one_of(*names: str) -> dict[str, Any]:
    return _rule(lambda value: value in names, "one of " + ", ".join(names))


def _at_least(least: int) -> dict[str, Any]:
    return _rule(lambda value: _whole(value, least), f"a whole number of at least {least}")


def _or_none(rule: dict[str, Any]) -> dict[str, Any]:
    return _rule(lambda value: value is None or rule["valid"](value), f"None or {rule['words']}")


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < sys.float_info.max  # also of an int that no float can hold; NaN is below nothing


def _model(value: object) -> bool:
    built = hasattr(value, "state_dict") and not isinstance(value, type)  # a module, where its class was meant
    return (isinstance(value, str) and bool(value)) or (callable(value) and not built)


_MODEL = _rule(_model, "the name of a model, or a class or function that builds one (not the module itself)")
_SEED = _rule(lambda value: _whole(value, 0) and value < 2**63 - 9, "a whole number from 0 to 2**63 - 10")
_TEXT = _rule(lambda value: isinstance(value, str), "a text")
_FLAG = _rule(lambda value: isinstance(value, bool), "True or False")
_POSITIVE = _rule(lambda value: _number(value) and value > 0, "a finite number above 0")
_NOT_NEGATIVE = _rule(lambda value: _number(value) and value >= 0, "a finite number of at least 0")
_FRACTION = _rule(lambda value: _number(value) and 0 <= value < 1, "a number from 0 up to, not including, 1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One short seeded training.

    The defaults are event-dense: three epochs, a partial last batch, augmentation, dropout, weight-decay
    groups, warm-up and decay, clipping that clips, accumulation, averaged weights, an evaluation an epoch and
    a save and resume in the middle. A branch that never runs cannot be judged.

    Raises:
        ArgumentError: a field is outside its range; the message names field, value and rule.
    """

    model: "str | ModelFunction" = field(default="cifar_cnn", metadata=_MODEL)
    """Name of a shipped model (`models.MODELS`), or a function that builds one when called without arguments."""
    data: Literal["synthetic", "cifar10"] = field(default="synthetic", metadata=_one_of("synthetic", "cifar10"))
    """Data set: embedded, or CIFAR-10 from files."""
    precision: Precision = field(default="float64", metadata=_one_of(*get_args(Precision)))
    """Number format; bfloat16 is autocast over float32 weights."""
    seed: int = field(default=0, metadata=_SEED)
    """Seed of initialisation, data order, augmentation and dropout; each has a generator of its own."""
    name: str = field(default="", metadata=_TEXT)
    """What the training is called in reports; the model's name if empty."""
    width: int = field(default=12, metadata=_at_least(1))
    """Channels of the first convolution of a shipped model."""
    dropout: float = field(default=0.1, metadata=_FRACTION)
    """Probability of a shipped model's dropout, where it has one."""
    epochs: int = field(default=3, metadata=_at_least(1))
    """Passes over the training images."""
    train_images: int = field(default=276, metadata=_at_least(1))
    """Training images in use: the first of the data set."""
    test_images: int = field(default=100, metadata=_at_least(1))
    """Test images in use: the first of the data set."""
    batch_size: int = field(default=32, metadata=_at_least(1))
    """Images an optimizer step; the last batch of an epoch may be smaller."""
    accumulation: int = field(default=2, metadata=_at_least(1))
    """Micro-batches an optimizer step."""
    augmentation: bool = field(default=True, metadata=_FLAG)
    """Random crop with padding 4 and horizontal flip."""
    optimizer: Literal["sgd", "adamw"] = field(default="sgd", metadata=_one_of("sgd", "adamw"))
    """torch.optim.SGD or AdamW."""
    learning_rate: float = field(default=0.25, metadata=_POSITIVE)
    """Peak learning rate."""
    momentum: float = field(default=0.9, metadata=_FRACTION)
    """Momentum of SGD."""
    nesterov: bool = field(default=True, metadata=_FLAG)
    """Nesterov's form of SGD's momentum."""
    weight_decay: float = field(default=5e-4, metadata=_NOT_NEGATIVE)
    """Weight decay of matrices and kernels; vectors (biases, BatchNorm) form a second group without it."""
    schedule: Literal["cosine", "step", "constant"] = field(
        default="cosine", metadata=_one_of("cosine", "step", "constant")
    )
    """Decay of the learning rate per step, after warm-up; "step" divides by 10 at 1/2 and 3/4 of the run."""
    warmup_steps: int = field(default=4, metadata=_at_least(0))
    """Steps of linear warm-up."""
    clip_norm: float | None = field(default=1.0, metadata=_or_none(_POSITIVE))
    """Largest total gradient norm; None never clips."""
    label_smoothing: float = field(default=0.1, metadata=_FRACTION)
    """Label smoothing of the training loss."""
    ema_decay: float | None = field(default=0.9, metadata=_or_none(_FRACTION))
    """Decay of the exponential moving average of weights and buffers; None keeps no average."""
    resume: bool = field(default=True, metadata=_FLAG)
    """Save in the middle of the run and go on with freshly built objects that load it."""

    def __post_init__(self) -> None:
        check_fields("Recipe", **{name: getattr(self, name) for name in _RULES})
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
        return {name: getattr(self, name) for name in _RULES} | {"model": self.model_name}

    @property
    def digest(self) -> str:
        """Twelve hex digits that stay the same on every machine as long as the fields do."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def configuration(config: object) -> dict[str, Any]:
    """Return what a recorder is told of a configuration: plain values, those of nested mappings by dotted name.

    Raises:
        ArgumentError: it is no mapping, or holds what JSON does not.
    """
    fields = dict(_flat("", config))
    for name, value in fields.items():
        if not name or not _is_json(value):
            rule = (
                "a mapping of names to numbers, texts, True, False, None, lists of these, or mappings of the same kind"
            )
            raise ArgumentError.of("Recorder", "config", {name: value} if name else value, rule)
    return {name: json.loads(json.dumps(value)) for name, value in fields.items()}  # a tuple is read back as a list


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield path, value
    else:
        for key, part in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), part)


def _is_json(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | bool) or _number(value)


_RULES = {known.name: known.metadata for known in dataclasses.fields(Recipe)}


def check_fields(owner: str, **values: object) -> None:
    """Check values that a recipe could have, by field, for an owner: Recipe, Recorder."""
    for name, value in values.items():
        if not _RULES[name]["valid"](value):
            raise ArgumentError.of(owner, name, value, _RULES[name]["words"])
