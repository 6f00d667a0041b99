"""Traces of trainings: of the first step, from the start of the recorder's block, and of the first evaluation after.

Or, where a divergence is known, of the first step, of the step that it is in, and of the one before: what is computed
between two batches belongs to the step of the first.
"""

import contextlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from harness.explaining.building import Building
from harness.explaining.executed import Executed, ran_at_import
from harness.explaining.files_read import files_read, noted
from harness.explaining.operations import Tracer
from harness.explaining.traced import Built, Part, Traced, step_name
from harness.record import Record
from harness.recording.hooks import around_forward, on_output, on_step
from harness.recording.perturbation import Enough


if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from harness.recording.perturbation import Planted


class Tracing:
    """Traces every training of a block.

    Args:
        root: of the project.
        early: whether a training ends once all is traced.
        step: of a divergence; None traces the first step and the first evaluation.
        building: has noted before who builds what; None if nobody has.
    """

    def __init__(
        self, root: Path, *, early: bool = False, step: int | None = None, building: Building | None = None
    ) -> None:
        self._root, self._early, self._step = root, early, step
        self._building = building or Building(root)
        if step is not None:
            noted()
        self._trainings: list[_Training] = []

    def building(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that notes who builds what the trainings are made of, perhaps before they begin."""
        return self._building.on()

    def __call__(self, stack: contextlib.ExitStack) -> "Planted":
        """Begin to trace a training, until a stack closes."""
        tracer = Tracer(self._root, stack)
        if self._step is None:
            training = _Training(tracer, self._building, stack, self._early)
        else:
            training = _Around(tracer, self._building, stack, self._early, self._step, self._root)
        self._trainings.append(training)
        training.start()
        return training

    def of(self, record: Record) -> Traced | None:
        """Return the trace of a record's training, if there is one."""
        found = (training for training in self._trainings if training.is_of(record))
        return next((training.traced for training in found), None)


class _Training:
    """A training that is traced: whether it trains or evaluates, and in which step."""

    def __init__(self, tracer: Tracer, building: Building, stack: contextlib.ExitStack, early: bool) -> None:
        self._tracer, self._building, self._stack, self._early = tracer, building, stack, early
        self._parts: dict[str, Part] = {}
        self._built: Mapping[str, Built] = {}
        self._step = 0
        self._stepped = self._evaluated = self._done = self._has_batches = False
        self.record: Record | None = None

    def start(self) -> None:
        """Trace from now on."""
        self._tracer.start()

    def watch(self, model: "nn.Module", optimizer: "Optimizer | None") -> None:
        """Follow passes and steps."""
        self._stack.callback(around_forward(model, self._pass))
        for part in [*model.modules()][1:]:
            if not isinstance(part, torch.jit.ScriptModule):  # a script takes no hooks
                self._stack.callback(on_output(part, self._part_pass))
        if optimizer is not None:
            self._stack.callback(on_step(optimizer, _nothing, _nothing, self._after_step))

    def batch(self, images: object, labels: object) -> None:
        """Note that a batch begins."""
        self._has_batches = True
        self._train()
        self._tracer.batch()
        if self._early and self._done:
            raise Enough

    def end(self, record: Record, built: Mapping[str, Built]) -> None:
        """Keep what the training did, and who built what it is made of."""
        self._train()
        self.record, self._built = record, built

    def is_of(self, record: Record) -> bool:
        """Tell whether a record is this training's."""
        return self.record is not None and record.streams is self.record.streams

    @property
    def traced(self) -> Traced:
        """What was traced."""
        error = self._tracer.error
        text = f"{type(error).__name__}: {error}" if error else ""
        constants = {**self._building.constants, **self._tracer.lines.constants}
        schedules = self._building.schedules
        return Traced(str(torch.__version__), self._parts, constants, text, dict(self._built), schedules)

    def _pass(self, model: "nn.Module", *inputs: object) -> None:
        self._tracer.enter(inputs, model)
        if model.training and torch.is_grad_enabled():
            if not self._has_batches:
                self._train()
        elif self._stepped:
            self._evaluated = True

    def _part_pass(self, inputs: object, output: object) -> None:
        """Note an evaluation that asks a part of a model only: an encoder without its head, say."""
        self._evaluated = self._evaluated or (self._stepped and not torch.is_grad_enabled())

    def _after_step(self) -> None:
        self._stepped = True
        if self._step and not self._done:  # an evaluation may follow, of what is made ready for it now
            self.start()

    def _train(self) -> None:
        """Begin a step, if one has ended."""
        if not self._stepped:
            return
        self._tracer.stop()
        if not self._done and (self._evaluated or not self._step):
            name = "evaluation" if self._step else "start"
            self._parts[name] = Part(self._step, self._tracer.operations)
        self._done = self._done or self._evaluated
        self._evaluated = self._stepped = False
        self._step += 1


class _Around(_Training):
    """A training that is traced around a step, with the lines that run, and the files that are read.

    Args:
        step: of a divergence.
        root: of the project.
    """

    def __init__(
        self, tracer: Tracer, building: Building, stack: contextlib.ExitStack, early: bool, step: int, root: Path
    ) -> None:
        super().__init__(tracer, building, stack, early)
        self._root, self._steps, self._executed = root, (0, step - 1, step), Executed(root, tracer)
        stack.callback(self._executed.stop)

    def start(self) -> None:
        """Trace from now on."""
        super().start()
        self._executed.start()

    @property
    def traced(self) -> Traced:
        """What was traced, and what had run when the project was imported."""
        since = itertools.chain.from_iterable(part.lines for part in self._parts.values())
        parts = self._parts | {"import": Part(-1, [], [*ran_at_import(self._root, since)])}
        return msgspec.structs.replace(super().traced, parts=parts, read=files_read(self._root))

    def _after_step(self) -> None:
        self._stepped = True

    def _train(self) -> None:
        if not self._stepped:
            return
        self._tracer.stop()
        if self._step in self._steps:  # lines of the steps that follow untraced are added to these
            self._parts[step_name(self._step)] = Part(self._step, self._tracer.operations, self._executed.lines)
        self._step += 1
        self._stepped, self._done = False, self._step > max(self._steps)
        if self._step in self._steps:
            self.start()
        elif self._done:
            self._executed.stop()


def _nothing() -> None:
    pass
