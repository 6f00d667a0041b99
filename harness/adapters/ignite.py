"""Record what an Ignite `Engine` does."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from harness.adapters.values import images_and_labels, numbers_in
from harness.errors import NoLibraryError
from harness.recording.recorder import Recorder


try:
    from ignite.engine import Engine, Events
except ModuleNotFoundError as error:
    raise NoLibraryError.of(library="ignite") from error


class IgniteRecorder:
    """A handler that records the run of a trainer, and its evaluators.

        with Recorder(precision="float64", seed=0) as recorder:
            model, optimizer, trainer, evaluator = build()
            IgniteRecorder(recorder, model, optimizer).attach(trainer, validation=evaluator)
            trainer.run(batches, max_epochs=2)
        training_regression.check(recorder.record)

    Recorded are model and optimizers from the start of the run on, each batch as it comes from the data, what is a
    number in the trainer's output (alone as `loss`, of a mapping by name, of a sequence by place as `output[0]`), and
    as evaluation the metrics of the evaluators.

    To know in float64: model and trainer are built inside the block; `create_supervised_trainer` converts no dtype.

    Args:
        recorder: a recorder whose block has begun by the time of `run`.
        model: the model that the trainer trains.
        *optimizers: all of its optimizers.
        output_transform: what makes a number, or a mapping or sequence with numbers, of the trainer's output.
        ignore: names of metrics that differ between equal runs, such as a frequency.
    """

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        *optimizers: Optimizer,
        output_transform: Callable[[Any], Any] = lambda output: output,
        ignore: Collection[str] = (),
    ) -> None:
        self._recorder = recorder
        self._model = model
        self._optimizers = list(optimizers)
        self._transform = output_transform
        self._ignore = ignore
        self._logged = True

    def attach(self, trainer: Engine, **evaluators: Engine) -> Self:
        """Record an engine.

        Args:
            trainer: the engine that trains.
            **evaluators: engines that the trainer's handlers run; their names are put before those of their metrics.
        """
        trainer.add_event_handler(Events.STARTED, self._watch)
        trainer.add_event_handler(Events.ITERATION_STARTED, self._batch)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._log, trainer)
        for name, evaluator in evaluators.items():
            evaluator.add_event_handler(Events.STARTED, self._log, trainer)  # handlers run as they were added
            evaluator.add_event_handler(Events.COMPLETED, self._evaluation, evaluator, name)
        return self

    def _watch(self) -> None:
        optimizers, self._optimizers = self._optimizers, []
        for optimizer in optimizers:
            self._recorder.watch(self._model, optimizer)

    def _batch(self, trainer: Engine) -> None:
        self._logged = False
        if trainer.state.batch is not None:  # an engine may run without data
            self._recorder.batch(*images_and_labels(trainer.state.batch))

    def _log(self, trainer: Engine) -> None:
        """Log the iteration's output, once: before an evaluation, if one comes first."""
        if not self._logged:
            self._logged = True
            output = self._transform(trainer.state.output)
            if isinstance(output, list | tuple):
                output = {f"output[{i}]": value for i, value in enumerate(output)}
            values = output if isinstance(output, Mapping) else {"loss": output}
            single = {name: v for name, v in values.items() if not isinstance(v, Tensor) or v.numel() == 1}
            self._recorder.log(**numbers_in(single, self._ignore))

    def _evaluation(self, evaluator: Engine, name: str) -> None:
        metrics = numbers_in(evaluator.state.metrics, self._ignore)
        self._recorder.evaluation(**{f"{name}_{metric}": value for metric, value in metrics.items()})
