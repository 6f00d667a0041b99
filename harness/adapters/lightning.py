"""Record what a Lightning `Trainer` does."""

from collections.abc import Collection, Mapping
from typing import Any

from torch.optim import Optimizer

from harness.adapters.values import images_and_labels, numbers_in
from harness.errors import NoLibraryError
from harness.recording.recorder import Recorder


try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback, LightningModule, Trainer
    except ModuleNotFoundError as error:
        raise NoLibraryError.of(library="lightning") from error


class LightningRecorder(Callback):  # type: ignore[misc] # mypy does not follow Lightning's imports
    """A callback that records `trainer.fit`.

        with Recorder(precision="float64", seed=0) as recorder:
            trainer = Trainer(max_epochs=2, accelerator="cpu", callbacks=[LightningRecorder(recorder)])
            trainer.fit(LitModel(), datamodule)
        training_regression.check(recorder.record)

    Recorded are model and optimizers from the start of training on, each batch as it is on the device, the loss that
    `training_step` returns (divided by `accumulate_grad_batches`, as Lightning has it), whatever is logged with
    `self.log`; what validation, test and the end of an epoch log counts as evaluation. The sanity check is left out. A
    `fit` that resumes from a checkpoint in the same block goes on where the first one stopped.

    To know in float64:

    - Build the module inside the block; the Trainer's `precision` may stay as it is. Data that was made in float32
      outside is converted by `precision="64-true"`.
    - `seed_everything` replaces the recorder's seed, and Lightning leaves its environment variables behind.
    - `Trainer(deterministic=False)` switches the recorder's deterministic kernels off; leave it out.
    - What is computed in `training_step` itself, outside every submodule, is not checked for float32.

    Args:
        recorder: a recorder whose block has begun by the time of `fit`.
        ignore: names of logged metrics that differ between equal runs, such as a throughput.
    """

    def __init__(self, recorder: Recorder, *, ignore: Collection[str] = ()) -> None:
        super().__init__()
        self._recorder = recorder
        self._ignore = ignore
        self._watched: list[Optimizer] = []
        self._seen: dict[str, object] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the module and its optimizers, with what a checkpoint has put into them."""
        for optimizer in trainer.optimizers:
            if optimizer not in self._watched:
                self._watched.append(optimizer)
                self._recorder.watch(pl_module, optimizer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Fingerprint the batch."""
        self._recorder.batch(*images_and_labels(batch))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the loss and what the step logged."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self._recorder.log(**numbers_in({"loss": loss, **self._fresh(trainer)}, self._ignore))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set aside what was logged before."""
        self._fresh(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what the epoch, a validation or a test has logged."""
        if not trainer.sanity_checking:
            self._recorder.evaluation(**numbers_in(self._fresh(trainer), self._ignore))

    on_validation_start = on_test_start = on_train_epoch_start
    on_validation_end = on_test_end = on_train_epoch_end

    def _fresh(self, trainer: Trainer) -> dict[str, object]:
        """Return metrics that were logged since the last call: Lightning keeps all, and makes new tensors of new ones.

        Of a metric that is logged both per step and per epoch there are three names; the bare one says nothing more.
        """
        before, self._seen = self._seen, dict(trainer.callback_metrics)
        fresh = {name: value for name, value in self._seen.items() if value is not before.get(name)}
        return {name: value for name, value in fresh.items() if not {f"{name}_step", f"{name}_epoch"} & fresh.keys()}
