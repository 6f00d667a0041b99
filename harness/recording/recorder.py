"""The recorder: what a training loop tells it becomes a record."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.errors import ArgumentError, HarnessError, RecorderError
from harness.inert import inert_line
from harness.recipe import Precision, check_fields, configuration
from harness.record.environment import describe
from harness.record.record import Record
from harness.record.streams import StreamKey
from harness.recording.batches import named_parts, size
from harness.recording.by_hand import ByHand
from harness.recording.class_names import are_names
from harness.recording.determinism import deterministic
from harness.recording.fingerprints import tensors_in
from harness.recording.followed import follow
from harness.recording.hooks import unwrapped
from harness.recording.images import activation_pictures, class_labels, confusion, filter_picture, mistakes, picture
from harness.recording.imported import note_running, tell
from harness.recording.one_thread import Block
from harness.recording.parts import whole
from harness.recording.perturbation import Enough, current
from harness.recording.precision import named_mixture, refuse_low_loss
from harness.recording.states import States
from harness.recording.steps import Recording
from harness.recording.workers import workers_inherit


follow()  # now: a script that trains imports this before it calls its own functions


def numbers(name: str, value: object, method: str) -> tuple[tuple[str, float | int], ...]:
    """Return a logged value as (stream, number) pairs: one for a scalar, `name[i]` each for a list."""
    if isinstance(value, Tensor):
        known = whole(value)
        if known is None:
            raise RecorderError.divided(name=name, method=method)
        value = known.detach().tolist()
    elif hasattr(value, "__array__"):
        value = torch.as_tensor(value).detach().tolist()
    if isinstance(value, list | tuple):
        return tuple(pair for i, item in enumerate(value) for pair in numbers(f"{name}[{i}]", item, method))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecorderError.not_a_number(name=name, found=type(value).__name__, method=method)
    return ((name, value),)


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

    What fails within the recorder is no concern of the loop, which goes on: there is no record then, and asking for it
    says why.

    One thing it changes: float64 gradients lose what is rounding noise in them (`rounding_noise.drop_noise`) before the
    optimizer sees it.

    A step begins with `batch` (in loops that never call it, with a training forward pass) once an optimizer has
    stepped; several batches before that are micro-batches of one step.

    Args:
        precision: float64, float32 or bfloat16.
        seed: seed of the random generators of Python, NumPy and torch.
        name: what the training is called in reports.
        config: how the training is configured: plain values by name, nested as you like. A failure names what changed.
        class_names: of the classes, in the order of their labels, for figures; else the `classes` of the first data set
            that has some, of up to 100, and that a `DataLoader` draws from.
        states: `training_regression.states()`, for a sharp comparison in low precision, or where float64 amplifies
            rounding too much: states that are filled when a baseline is written, and that later trainings are put back
            on.

    What it was told of, or saw, and could not record ends in an error, and the block ends in it again if the loop has
    caught it: a record is whole, or there is none.

    Raises:
        ArgumentError: precision, seed or name is none that a recipe could have, class_names are no names, or config
            holds what JSON does not.
        RecorderError: as the block begins: another thread is in a block of its own. As it ends: the record is not
            whole.
    """

    def __init__(
        self,
        *,
        precision: Precision = "float64",
        seed: int = 0,
        name: str = "training",
        config: Mapping[str, object] | None = None,
        class_names: Sequence[str] = (),
        states: States | None = None,
    ) -> None:
        check_fields("Recorder", precision=precision, seed=seed, name=name)
        if not are_names(class_names):
            rule = "a list of texts: the name of each class, in the order of their labels"
            raise ArgumentError.of("Recorder", "class_names", class_names, rule)
        self.precision, self.name, self.states = precision, name, states
        self.config = configuration({} if config is None else config)
        self.class_names = tuple(class_names)
        self.seed = seed + current().seed_shift
        self._state: Recording | None = None
        self._record: Record | None = None
        self._missed: HarnessError | None = None

    def __repr__(self) -> str:
        done = "recording" if self._state else f"recorded {self._record!r}" if self._record else "no record"
        return f"<Recorder {inert_line(self.name)}: {self.precision}, seed {self.seed}, {done}>"

    def __enter__(self) -> Self:
        if self._state is not None:
            raise RecorderError.already_recording()
        block = Block()
        with contextlib.ExitStack() as failed:
            failed.callback(block.close)
            plant = current().plant
            self._planted = plant(block.undo) if plant else None
            block.undo.enter_context(deterministic(self.precision, self.seed))
            self._state = Recording(self.precision, block.undo, self.states)
            block.undo.enter_context(workers_inherit(self._state.iterate))
            failed.pop_all()
        self._block, self._record, self._missed = block, None, None
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        state, self._state = self._state, None
        assert state is not None, "unreachable because __enter__ set it"
        with contextlib.closing(self._block), state.whole("the end of the block"):
            if kind is None or isinstance(error, Enough):
                self._record = self._finish(state)
                tell()
                if self._planted:
                    self._planted.end(self._record, state.built)
                if isinstance(error, Enough):
                    error.record = self._record
            elif mixture := named_mixture(error, state.module_names(), self.precision, state.origin):
                raise mixture
        if kind is None:
            self._missed = state.wholeness.broken

    @property
    def record(self) -> Record:
        """The record of the loop, once its block has ended.

        Raises:
            RecorderError: the block has not ended, or ended with an exception.
            RecorderError: something was to be recorded after the block: a thread of the loop, say, did not end with it.
            RecorderError: the recorder has failed within the block, and the record is incomplete.
        """
        if self._missed is not None:
            raise self._missed
        if self._record is None:
            raise RecorderError.not_finished()
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
            RecorderError: this model and optimizer are watched already.
            RecorderError: the model or the optimizer is none, or the optimizer holds no parameter of the model; the
                model takes no hooks.
            PrecisionError: a weight is in another precision.
        """
        with self._recording("watch") as state:
            note_running()
            if not isinstance(model, nn.Module):
                raise RecorderError.not_a_model(found=type(model).__name__)
            if type(model).__name__ == "RecursiveScriptModule":  # torch has no public name for it; traced ones are none
                raise RecorderError.scripted()
            optimizer = None if optimizer is None else unwrapped(optimizer)
            if self._planted:
                self._planted.watch(model, optimizer)  # its hooks come before ours
            state.watch(model, optimizer, name)

    def batch(self, images: object, labels: object = None, *, order: object = None) -> None:
        """Fingerprint what goes into the model; call it before the forward pass.

        Parts are called what a mapping, a dataclass or a named tuple calls them, or else images, labels and order.

        Args:
            images: tensor, array or number, or any nest of sequences and mappings of them, beside which texts and
                other things don't count; uint8 pixels are compared exactly.
            labels: likewise; integers are compared exactly, and texts, if there are no numbers.
            order: indices of the images in their data set, if at hand.

        Raises:
            RecorderError: it is nothing of that kind.
            RecorderError: weights have moved since the last batch, but no watched optimizer has stepped.
        """
        with self._recording("batch") as state:
            if self._planted:
                self._planted.batch(images, labels)
            state.begin_batch()
            given = {"order": order, "labels": labels, "images": images}
            parts = named_parts({name: part for name, part in given.items() if part is not None or name == "images"})
            state.add("data", ["batch/size"], [size(images)])
            state.take(parts)
            if "batch" not in state.pictures:
                state.keep("batch", picture(images, class_labels(labels)))

    def step(self) -> None:
        """Take what the loop has done to the weights as a step: for updates by hand, after each of them.

            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= rate * parameter.grad
            recorder.step()

        It is recorded as the step of an optimizer is: gradients, as they are now, updates and weights of every watched
        model that has no optimizer; if each has one, of all. Steps of optimizers are seen without.

        Raises:
            RecorderError: no model is watched.
        """
        with self._recording("step") as state:
            for watched in state.updated_by_hand():
                if watched.by_hand is None:
                    watched.by_hand = ByHand(watched.model)
                    self.watch(watched.model, watched.by_hand)
                watched.by_hand.update()

    def log(self, **values: object) -> None:
        """Record numbers of this step: `recorder.log(loss=loss)`; `recorder.log()` says that it has none.

        They belong to the evaluation if the watched model last ran in evaluation mode or without gradients.

        Args:
            **values: numbers, scalar tensors, or lists of them (one stream an element).

        Raises:
            RecorderError: a value is none of these, or a name is one that the recorder itself gives.
            PrecisionError: a value with gradients is in less than float64, in a float64 run.
        """
        with self._recording("log") as state:
            if self.precision == "float64":
                refuse_low_loss(values, state.origin)
            _log(state, "evaluation" if state.evaluating else "forward", "log", values)

    def evaluation(self, **values: object) -> None:
        """Record numbers of an evaluation after this step, whatever the model's mode; otherwise as `log`."""
        with self._recording("evaluation") as state:
            _log(state, "evaluation", "evaluation", values)

    def keep_predictions(self, images: object, labels: object, predicted: object, *, confidence: object = None) -> None:
        """Keep what a model made of test images, for the figures; the last call counts.

        The first images are kept, the confusion matrix of all, and, with `confidence`, the surest mistakes; a figure
        of what cannot be drawn says why.

        Args:
            images: of 1 or 3 channels, first or last, uint8 or any numbers, which are stretched from black to white, of
                any size: beyond 64x64 pixels they are averaged down.
            labels: true class of each image: integers as a tensor, an array or a list.
            predicted: predicted class of each image, likewise.
            confidence: probability, 0 to 1, that the model gave the predicted class; likewise, floats.

        Raises:
            RecorderError: labels or predictions are not one integer an image, or confidences not one number.
        """
        whole = self._recording("keep_predictions")
        try:
            true, found = class_labels(labels), class_labels(predicted)
            sure = [] if confidence is None else [value for _, value in numbers("", confidence, "keep_predictions")]
            lengths = {len(true), len(found), *([len(sure)] if confidence is not None else [])}
            given = next(tensors_in(images), ()) if isinstance(images, Mapping) else images
            lengths.add(len(given))  # type: ignore[arg-type] # whatever holds images has a length
        except (TypeError, ValueError, RuntimeError) as error:
            raise RecorderError.not_a_batch(found=str(error), method="keep_predictions") from error
        if len(lengths) > 1:
            raise RecorderError.not_a_batch(found="a list of another length than the images", method="keep_predictions")
        with whole as state:
            state.confusion = confusion(true, found)
            state.undrawn["confusion"] = "" if state.confusion else "labels are not all from 0 to 99"
            state.keep("predictions", picture(images, true, found))
            state.keep("mistakes", mistakes(images, true, found, sure))

    def at_end(self, undo: Callable[[], None]) -> None:
        """Call something when the block ends, also after an exception: what adapters hang on a model comes off."""
        with self._recording("at_end") as state:
            state.stack.callback(undo)

    def _recording(self, method: str) -> contextlib.AbstractContextManager[Recording]:
        if self._state is None:
            self._missed = RecorderError.not_recording(method=method)
            raise self._missed
        return self._state.whole(f"Recorder.{method}")

    def _finish(self, state: Recording) -> Record:
        if self._block.overlaps:
            raise RecorderError.overlapping()
        state.finish()
        parameters = (parameter for watched in state.watched for parameter in watched.parameters().values())
        device = next((parameter.device.type for parameter in parameters), "cpu")
        pictures = (filter_picture(watched.parameters().values()) for watched in state.trained())
        filters = next(filter(None, pictures), None)
        streams, clues = state.builder.streams()
        return Record(
            name=self.name,
            precision=self.precision,
            seed=self.seed,
            device=device,
            recipe=self.config,
            data={},
            environment=describe(device),
            structure=state.structure,
            streams=streams,
            clues=clues,
            initial=state.initial,
            pictures=state.pictures
            | activation_pictures(state.activations.maps)
            | ({"filters": filters} if filters else {}),
            undrawn={name: reason for name, reason in state.undrawn.items() if reason},
            class_names=self.class_names or state.class_names,
            histograms=state.distributions.histograms(),
            world=state.world,
            confusion=state.confusion,
            seconds=time.perf_counter() - self._started,
            step_seconds=state.times.seconds(device),
        )


@functools.lru_cache
def _is_reserved(name: str) -> bool:
    key = StreamKey(name)
    return key.kind != "logged" or key.distance


def _log(state: Recording, stage: str, method: str, values: dict[str, object]) -> None:
    state.logs = True
    for name in values:
        if _is_reserved(name):
            raise RecorderError.reserved(name=name, method=method)
    prefix = "evaluation/" if stage == "evaluation" else ""
    named = {name: numbers(prefix + name, value, method) for name, value in values.items()}
    for name, pairs in named.items():
        state.add(stage, [each for each, _ in pairs], [value for _, value in pairs], values[name])
