"""Watch any training loop through hooks and turn it into a record. Our own loop uses it too."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from harness.determinism import deterministic
from harness.environment import describe
from harness.errors import (
    NeverSteppedError,
    NoLossError,
    NotABatchError,
    NotFinishedError,
    NothingWatchedError,
    NotRecordingError,
    SameNamesError,
    WatchedTwiceError,
)
from harness.hooks import on_forward, on_step
from harness.measure import class_labels, fingerprint, numbers, picture, tensors_in
from harness.recipe import Precision, check_fields
from harness.record import Picture, Record
from harness.tape import Tape
from harness.watched import Watched


__all__ = ["Recorder"]


class Recorder:
    """Record a training loop.

        with Recorder(precision="float64", seed=0) as recorder:
            model, optimizer = build()
            recorder.watch(model, optimizer)
            for images, labels in batches:
                recorder.batch(images, labels)
                ...
                recorder.log(loss=loss)
        record = recorder.record

    Inside the block everything random is seeded, torch computes on one thread with deterministic kernels, and
    float64 is the default dtype (unless another precision is asked for); every global is restored at its end.

    One thing it changes: float64 gradients lose what is rounding noise in them (`measure.drop_noise`) before the
    optimizer sees it.

    A step begins with `batch` (in loops that never call it, with a training forward pass) once an optimizer has
    stepped; several batches before that are micro-batches of one step.

    Args:
        precision: float64, float32 or bfloat16.
        seed: seed of the random generators of Python, NumPy and torch.
        name: what the training is called in reports.

    Raises:
        FieldError: precision, seed or name is none that a recipe could have.
    """

    def __init__(self, *, precision: Precision = "float64", seed: int = 0, name: str = "training") -> None:
        check_fields(precision=precision, seed=seed, name=name)
        self.precision = precision
        self.seed = seed
        self.name = name
        self._stack: contextlib.ExitStack | None = None
        self._record: Record | None = None

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(deterministic(self.precision, self.seed))
        self._tape = Tape()
        self._watched: list[Watched] = []
        self._structure: dict[str, dict[str, Any]] = {}
        self._pictures: dict[str, Picture] = {}
        self._step = self._optimizer_steps = 0
        self._settled = self._evaluating = self._midway = self._has_batches = False
        self._record = None
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        stack, self._stack = self._stack, None
        assert stack is not None, "unreachable because __enter__ set it"
        with stack:
            if kind is None:
                self._record = self._finish()

    @property
    def record(self) -> Record:
        """The record of the loop, once its block has ended.

        Raises:
            NotFinishedError: the block has not ended, or ended with an exception.
        """
        if self._record is None:
            raise NotFinishedError()
        return self._record

    def watch(self, model: nn.Module, optimizer: Optimizer | None = None, *, name: str | None = None) -> None:
        """Record a model's tensors, and an optimizer's rates and state, from now on.

        A second model with the same name and tensor names takes the first one's place, as after a resume. Without
        a name and an optimizer (an average of the weights) it is recorded beside it.

        Args:
            model: in the recorder's precision; built inside the block, it is.
            optimizer: an optimizer of the model's parameters.
            name: what the names of the model's tensors start with.

        Raises:
            WatchedTwiceError: this model and optimizer are watched already.
            ForeignOptimizerError: the optimizer holds no parameter of the model.
            WrongDtypeError: a weight is in another precision.
        """
        stack = self._recording("watch")
        watched = self._find(model)
        if watched and (optimizer is None or optimizer in watched.optimizers):
            raise WatchedTwiceError()
        if watched is None:
            watched = self._add(model, optimizer, name)
            stack.callback(on_forward(model, self._on_forward))
        if optimizer is not None:
            watched.add_optimizer(optimizer)
            stack.callback(self._follow(watched, optimizer))

    def batch(self, images: object, labels: object = None, *, order: object = None) -> None:
        """Fingerprint what goes into the model; call it before the forward pass.

        Args:
            images: tensor or array, or lists and mappings of them; uint8 pixels are compared exactly.
            labels: likewise; integers are compared exactly.
            order: indices of the images in their data set, if at hand.

        Raises:
            NotABatchError: there is no tensor or array in it.
        """
        self._recording("batch")
        self._has_batches = True
        self._evaluating = False
        self._begin_step()
        for name, part in (("order", order), ("labels", labels), ("images", images)):
            if part is not None:
                self._record_data(f"batch/{name}", fingerprint(part))
        self._record_data("batch/size", (len(next(tensors_in(images))),))
        if "batch" not in self._pictures and (kept := picture(images, class_labels(labels))):
            self._pictures["batch"] = kept

    def log(self, **values: object) -> None:
        """Record numbers of this step: `recorder.log(loss=loss)`.

        They belong to the evaluation if the watched model last ran in evaluation mode or without gradients.

        Args:
            **values: numbers, scalar tensors, or lists of them (one stream an element).

        Raises:
            NotANumberError: a value is none of these.
        """
        self._recording("log")
        self._log("evaluation" if self._evaluating else "forward", "log", values)

    def evaluation(self, **values: object) -> None:
        """Record numbers of an evaluation after this step, whatever the model's mode; otherwise as `log`."""
        self._recording("evaluation")
        self._log("evaluation", "evaluation", values)

    def keep_predictions(self, images: object, labels: object, predicted: object) -> None:
        """Keep a few test images with true and predicted class for `figures.prediction_grid`; the last call counts.

        Args:
            images: as for `batch`.
            labels: true class of each image: integers as a tensor, an array or a list.
            predicted: predicted class of each image, likewise.

        Raises:
            NotABatchError: labels or predictions are not one integer an image.
        """
        self._recording("keep_predictions")
        true, found = class_labels(labels), class_labels(predicted)
        if not len(true) == len(found) == len(images):  # type: ignore[arg-type] # whatever holds images has a length
            raise NotABatchError(found="a list of another length than the images", method="keep_predictions")
        if kept := picture(images, true, found):
            self._pictures["predictions"] = kept

    def _recording(self, method: str) -> contextlib.ExitStack:
        if self._stack is None:
            raise NotRecordingError(method=method)
        return self._stack

    def _find(self, model: nn.Module) -> Watched | None:
        return next((watched for watched in self._watched if watched.model is model), None)

    def _add(self, model: nn.Module, optimizer: Optimizer | None, name: str | None) -> Watched:
        watched = Watched(model, f"{name}." if name else "", self.precision)
        former = {w.prefix: w for w in self._watched if not w.replaced}.get(watched.prefix)
        stands_in = optimizer is not None or name is not None
        if former and stands_in and former.parameters().keys() == watched.parameters().keys():
            self._settle()  # what the step left behind is the former model's
            watched.take_over(former)
        elif former:
            watched.prefix = f"model{len(self._watched) + 1}."
        self._watched.append(watched)
        return watched

    def _follow(self, watched: Watched, optimizer: Optimizer) -> Callable[[], None]:
        def before() -> None:
            if watched.replaced:
                raise SameNamesError(step=self._step)
            self._evaluating = False  # whoever steps is training, in whatever mode
            self._open()
            watched.record_rates(self._tape, self._step, optimizer)

        def gradients() -> None:
            watched.record_gradients(self._tape, self._step, optimizer)

        def after() -> None:
            watched.end_step(optimizer)
            self._optimizer_steps += 1
            self._midway = False

        return on_step(optimizer, before, gradients, after)

    def _on_forward(self, model: nn.Module) -> None:
        trains = model.training and torch.is_grad_enabled()
        if trains and not self._has_batches:
            self._begin_step()
        self._midway = self._midway or trains  # a teacher that runs beside a student does not evaluate
        self._evaluating = not self._midway
        if self._evaluating:
            self._settle()
        if not self._optimizer_steps:  # a model that is watched between two steps starts with the next one
            self._open()

    def _begin_step(self) -> None:
        if self._optimizer_steps:
            self._settle()
            self._step += 1
            self._optimizer_steps = 0
            self._settled = False
        self._open()

    def _open(self) -> None:
        """Record the start of models that take part for the first time."""
        for watched in self._watched:
            if not (watched.opened or watched.lazy):
                self._structure |= watched.structure()
                watched.record_init(self._tape, self._step)

    def _settle(self) -> None:
        """Record what the step left behind, once, as soon as something else begins."""
        if self._optimizer_steps and not self._settled:
            self._settled = True
            self._tape.add("update", ("optimizer_steps",), self._step, (self._optimizer_steps,))
            for watched in self._watched:
                if watched.started and not watched.replaced:
                    watched.record_state(self._tape, self._step)

    def _record_data(self, name: str, values: tuple[Any, ...]) -> None:
        names = [name] if len(values) == 1 else [f"{name}[{i}]" for i in range(len(values))]
        self._tape.add("data", names, self._step, values)

    def _log(self, stage: str, method: str, values: dict[str, object]) -> None:
        if stage == "evaluation":
            self._settle()
        prefix = "evaluation/" if stage == "evaluation" else ""
        pairs = [pair for name, value in values.items() for pair in numbers(prefix + name, value, method)]
        self._tape.add(stage, [name for name, _ in pairs], self._step, [value for _, value in pairs])

    def _finish(self) -> Record:
        self._settle()
        self._open()
        self._check_complete()
        parameters = (parameter for watched in self._watched for parameter in watched.parameters().values())
        device = next((parameter.device.type for parameter in parameters), "cpu")
        return Record(
            name=self.name,
            precision=self.precision,
            seed=self.seed,
            device=device,
            recipe={},
            data={},
            environment=describe(device),
            structure=self._structure,
            streams=self._tape.streams(),
            pictures=self._pictures,
            seconds=time.perf_counter() - self._started,
        )

    def _check_complete(self) -> None:
        if not self._watched:
            raise NothingWatchedError()
        if not self._tape.has("update"):
            raise NeverSteppedError()
        if not (self._tape.has("forward") or self._tape.has("evaluation")):
            raise NoLossError(steps=self._step + 1)
