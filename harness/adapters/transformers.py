"""Record what a Hugging Face `Trainer` does."""

import contextlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import nn

from harness.adapters.values import images_and_labels, numbers_in
from harness.errors import NoLibraryError
from harness.recording.fingerprints import tensors_in
from harness.recording.hooks import around_forward, unwrapped
from harness.recording.recorder import Recorder


try:
    from transformers import Trainer, TrainerCallback, TrainerControl
except ModuleNotFoundError as error:
    raise NoLibraryError.of(library="transformers") from error

_TIMING = re.compile(r"runtime$|_per_second|_time$|_mem_")


class TransformersRecorder(TrainerCallback):  # type: ignore[misc] # mypy does not follow the imports of transformers
    """A callback that records `trainer.train`.

        with Recorder(precision="float64", seed=0) as recorder:
            trainer = Trainer(build(), arguments, train_dataset=..., callbacks=[TransformersRecorder(recorder)])
            trainer.train()
        training_regression.check(recorder.record)

    Recorded are model and optimizer, the batches, with their labels whoever computes the loss, loss and gradient norm
    of every optimizer step (the Trainer is made to log each), and as evaluation the metrics of `evaluate` and
    `predict`, without timings.

    To know in float64:

    - Build model and Trainer inside the block. A model of `from_pretrained` comes in the checkpoint's dtype: convert it
      with `model.double()`. Leave `bf16` and `fp16` off, and give `use_cpu=True` where the test is for the CPU.
    - The Trainer seeds everything with `TrainingArguments(seed=...)` when it is built. That does no harm; of the
      recorder's seed only the weights are drawn.
    - Language models compute their loss, and many their normalisation and attention, in float32, whatever their dtype
      is. The recorder names the first such module. A loss is replaced with `compute_loss_func`; a model that does it
      inside is recorded with `Recorder(precision="float32")`.
    - Data collators make float32 of float labels, in which binary cross-entropy then computes: it is named, too.
      Images in float32 are converted by some models and named in others.
    - A loss of NaN is logged as 0 unless `logging_nan_inf_filter=False`; the gradients tell.

    Args:
        recorder: a recorder whose block has begun by the time of `train`.
        ignore: names of logged metrics that differ between equal runs.
    """

    def __init__(self, recorder: Recorder, *, ignore: Collection[str] = ()) -> None:
        self._recorder = recorder
        self._ignore = ignore
        self._watched: list[object] = []
        self._prepared: dict[str, object] = {}
        self._remove: Callable[[], None] = lambda: None

    def on_train_begin(self, *arguments: Any, model: nn.Module, optimizer: Any, **others: Any) -> None:
        """Watch model and optimizer, with what a checkpoint has put into them."""
        optimizer = unwrapped(optimizer)
        if optimizer not in self._watched:
            self._watched.append(optimizer)
            self._recorder.watch(model, optimizer)
        self._remove = self._follow(model)
        self._recorder.at_end(self._remove)

    def on_train_end(self, *arguments: Any, **others: Any) -> None:
        """Let go of the Trainer's and the model's inputs."""
        self._remove()

    def _follow(self, model: nn.Module) -> Callable[[], None]:
        """See what the Trainer prepares and what goes into the model: it may keep labels; return its end."""
        prepare = Trainer._prepare_inputs  # before any `compute_loss`, which takes the labels out

        def prepared(trainer: Trainer, inputs: Any) -> Any:
            found = prepare(trainer, inputs)
            if self in trainer.callback_handler.callbacks:
                self._prepared = dict(found)
            return found

        undo = contextlib.ExitStack()
        undo.callback(setattr, Trainer, "_prepare_inputs", prepare)
        undo.callback(around_forward(model, self._batch))
        Trainer._prepare_inputs = prepared
        return undo.close

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **others: Any) -> TrainerControl:
        """Have the Trainer log this step."""
        control.should_log = True
        return control

    def on_log(self, *arguments: Any, logs: Mapping[str, object], **others: Any) -> None:
        """Log loss and gradient norm of a step; other logs have no loss."""
        if "loss" in logs:
            self._recorder.log(**self._values(logs))

    def on_evaluate(self, *arguments: Any, metrics: Mapping[str, object], **others: Any) -> None:
        """Log the metrics of an evaluation or of predictions."""
        self._recorder.evaluation(**self._values(metrics))

    on_predict = on_evaluate

    def _values(self, metrics: Mapping[str, object]) -> dict[str, object]:
        return numbers_in({name: v for name, v in metrics.items() if not _TIMING.search(name)}, self._ignore)

    def _batch(self, model: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Fingerprint the tensors of a training batch; single numbers say how the loss is scaled."""
        if model.training and torch.is_grad_enabled():
            given = (*self._prepared.items(), *((f"args[{i}]", value) for i, value in enumerate(args)), *kwargs.items())
            images, labels = images_and_labels({n: v for n, v in given if any(part.ndim for part in tensors_in(v))})
            self._recorder.batch(images, labels)
