"""The state of one recorded block: where in the training it is, and what has been recorded so far."""

import contextlib
import functools
import math
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from harness.errors import RecorderError
from harness.recipe import Precision
from harness.record import Picture, StreamKey, Value, World
from harness.record.streams import FIRST_STEP
from harness.recording.batches import Fingerprints, shapes
from harness.recording.calls import Calls, Found, record
from harness.recording.causes import Causes
from harness.recording.class_names import names_in
from harness.recording.determinism import swap_layout
from harness.recording.fingerprints import exact_digest
from harness.recording.histograms import Distributions
from harness.recording.hooks import (
    around_scaled_steps,
    on_every_step,
    on_forward,
    on_load,
    on_output,
    on_step,
    stays_behind,
)
from harness.recording.images import ActivationMaps
from harness.recording.jitter import jitter_alike
from harness.recording.norms import norms
from harness.recording.parts import held
from harness.recording.perturbation import current
from harness.recording.precision import Float64Guard, module_names
from harness.recording.process_group import has_group, world
from harness.recording.states import States
from harness.recording.step_times import StepTimes
from harness.recording.stream_builder import StreamBuilder
from harness.recording.unwatched import Unwatched
from harness.recording.watched_model import WatchedModel, record_states
from harness.recording.wholeness import Block, Wholeness


# distance from a stored state from which on a tensor was initialised otherwise; rounding explains 1e-7 in float32 and
# 4e-3 in bfloat16
_ELSEWHERE = 1e-2

_MOST_STEPS = 10**6
"""Between the seeds of two draws of jitter."""


class Recording:
    """Follows models and optimizers from step to step; a stack takes what removes the hooks."""

    def __init__(self, precision: Precision, stack: contextlib.ExitStack, states: States | None = None) -> None:
        self.builder, self.distributions, self.times = StreamBuilder(), Distributions(), StepTimes()
        self._causes, self._fingerprints = Causes(self.builder), Fingerprints(self.builder)
        self.activations = ActivationMaps(functools.partial(self.whole, "activation maps"))
        self.watched: list[WatchedModel] = []
        self._calls: dict[WatchedModel, Calls] = {}
        self._found: Found = []
        self.structure: dict[str, dict[str, Any]] = {}
        self.pictures: dict[str, Picture] = {}
        self.undrawn: dict[str, str] = {}
        self.confusion: tuple[tuple[int, ...], ...] = ()
        self.class_names: tuple[str, ...] = ()
        self.world: World | None = None
        self.evaluating, self.logs, self.initial = False, False, ""
        self.stack = stack
        stack.callback(self.activations.release)
        self._precision, self._perturbation = precision, current()
        self._states = states and (self._perturbation.states or states)
        self.wholeness = Wholeness(lambda: self._step)
        self._has_stepped = False
        self._met = -1
        self._left: Set[str] = set()
        self._shown: dict[WatchedModel, int] = {}
        self._looked = (-1, 0)
        self._first_step = stack.enter_context(contextlib.ExitStack())
        self._guard = Float64Guard(functools.partial(self.whole, "a forward pass"))
        self.origin = self._guard.origin
        if precision == "float64":
            for until in (stack, self._first_step):  # which may end in another thread
                until.callback(self._guard.leave)
            self._guard.start()
        self._step = self._optimizer_steps = 0
        self._begun = False  # whether the first step has
        self._over = False  # whether the step is: an optimizer has stepped, or was to
        self._passes = [0]  # numbers of the first operations of the passes that a step's optimizers part
        self._parted = False
        self._settled = self._midway = self._has_batches = False
        self._unwatched = Unwatched(self._present)
        stack.callback(self._unwatched.leave)
        begin, end = (self.wholeness.guarded("a step", call) for call in (self._unwatched.begin, self._unwatched.end))
        stack.callback(on_every_step(begin, lambda optimizer: end(optimizer, self._step)))
        stack.callback(around_scaled_steps(self._scaled))

    def watch(self, model: nn.Module, optimizer: Optimizer | None, name: str | None) -> None:
        """Follow a model and an optimizer; see `Recorder.watch`."""
        self._see_world()
        watched = next((watched for watched in self.watched if watched.model is model), None)
        if watched and (optimizer is None or optimizer in watched.optimizers):
            raise RecorderError.watched_twice()
        if watched is None:
            watched = self._add(model, optimizer, name)
            self._hang(watched)
            if self._precision == "float64":
                self._first_step.callback(self._guard.leave)
                self._guard.watch(model, module_names(model, watched.prefix))
        if optimizer is not None:
            watched.add_optimizer(optimizer)
            self._follow(watched, optimizer)

    def updated_by_hand(self) -> list[WatchedModel]:
        """Return every watched model that has no optimizer, or else all; see `Recorder.step`."""
        present = [watched for watched in self._present() if watched.parameters()]
        if not present:
            raise RecorderError.nothing_watched()
        return [watched for watched in present if watched.by_hand or not watched.optimizers] or present

    @property
    def built(self) -> Mapping[str, Any]:
        """Who built modules, optimizers and data loaders, by kind and name of their streams, where that is noted."""
        return self._causes.built

    def begin_batch(self) -> None:
        """Begin a step if an optimizer has stepped since the last one began."""
        self._has_batches, self.evaluating = True, False
        if not self._step:
            self._see_world()
        self._check_weights()
        self._begin_step()
        self._unwatched.begin_batch()

    def iterate(self, loader: DataLoader[Any]) -> contextlib.AbstractContextManager[None]:
        """Note how a data loader samples that is iterated, for the step that follows; return what to start it in."""
        self.class_names = self.class_names or names_in(loader)
        self._causes.iterate(loader, self._step + self._over)
        return self._guard.paused()

    def add(self, stage: str, names: Sequence[str], values: Sequence[Value], made: object = None) -> None:
        """Record values of the present step; an evaluation's come after what the step left behind.

        Args:
            stage: of the values.
            names: of their streams.
            values: one each.
            made: what they are taken from: a tensor with a gradient tells which of a step's passes it was made in.
        """
        evaluates = stage == "evaluation"
        if evaluates:
            self._settle()
        step = self._now if evaluates else self._step
        self.builder.add(stage, names, step, values, phase=bisect(self._passes, _number(made)) - 1)

    def take(self, parts: Mapping[str, object]) -> None:
        """Take shapes and fingerprints of the parts of a batch."""
        self.builder.note("data", shapes(parts), self._step)
        self._fingerprints.take(parts, self._step, len(self._passes) - 1)

    def keep(self, name: str, found: Picture | str) -> None:
        """Keep a picture, or why there is none, in place of what was kept before."""
        self.pictures.pop(name, None)
        self.undrawn.pop(name, None)
        if isinstance(found, str):
            self.undrawn[name] = found
        else:
            self.pictures[name] = found

    def module_names(self) -> dict[int, str]:
        """Return the names of all modules of the watched models, by id."""
        names = (module_names(watched.model, watched.prefix) for watched in self.watched)
        return {key: name for each in names for key, name in each.items()}

    def finish(self) -> None:
        """Record what the last step left behind, and check that it is all there and that there is something to compare.

        An error of before is raised again: the loop has caught it, or gone on after it.
        """
        if self.wholeness.broken:
            raise self.wholeness.broken
        self.world = self.world or world()
        self._check_hooks()
        self._check_weights()
        self._settle()
        for watched in self._present():
            watched.record_end(self.builder, self._step)
        for watched in self.watched:
            self.builder.parts |= watched.parts
        self._open()
        record(self._found, self.builder, self._step)
        self._fingerprints.work_out()
        self._causes.work_out()
        if self._states is not None:
            self._states.collects = False  # from now on they are put back
        if not self.watched:
            raise RecorderError.nothing_watched()
        if not self._has_stepped:
            raise RecorderError.never_stepped()
        if not self.logs:
            raise RecorderError.no_loss(steps=self._step + 1)
        self._unwatched.check_end(self._step)
        if tensor := next((watched.lazy for watched in self._present() if watched.took_part and watched.lazy), ""):
            raise RecorderError.still_lazy(tensor=tensor)
        for watched in self.trained():
            self.distributions.add_last("weight", watched.parameters(), self._step + 1)
            self.distributions.add_last("gradient", watched.last_gradients(), self._step)

    def whole(self, doing: str) -> "Block[Recording]":
        """Return a context that keeps the first error; `doing` says whose part it is."""
        return Block(self.wholeness, doing, self)

    def trained(self) -> Iterator[WatchedModel]:
        """Yield what an optimizer trains now: no averages, nothing that was replaced, nothing that never began."""
        yield from (watched for watched in self._present() if watched.optimizers and watched.opened)

    def _present(self) -> list[WatchedModel]:
        return [watched for watched in self.watched if not watched.replaced]

    def _add(self, model: nn.Module, optimizer: Optimizer | None, name: str | None) -> WatchedModel:
        if self._perturbation.other_layout:
            swap_layout(model)
        watched = WatchedModel(model, f"{name}." if name else "", self._precision)
        watched.check_precision(self.origin)
        present = self._present()
        if former := next((other for other in present if _stands_in(watched, other, optimizer, name)), None):
            self._settle()  # what the step left behind is the former model's
            watched.take_over(former)
        elif watched.prefix in {other.prefix for other in present}:
            watched.prefix = f"model{len(self.watched) + 1}."
        self.watched.append(watched)
        return watched

    def _hang(self, watched: WatchedModel) -> None:
        """Hang hooks on a model."""
        model, doing = watched.model, f"a forward pass of {type(watched.model).__name__}"

        def passed(*_: object) -> None:
            if torch.is_grad_enabled() and not self._over:
                self._unwatched.end_pass(watched)

        guard = functools.partial(self.wholeness.guarded, doing)
        hung = on_forward(model, guard(lambda _: self._on_forward(watched)))
        watched.hung.append((type(model).__name__, hung))
        self._unwatched.follow(watched, lambda: on_output(model, guard(passed)))
        loaded = on_load(model, guard(self._unwatched.forget))
        if isinstance(model, DistributedDataParallel):  # hands out the first rank's buffers as a pass begins
            self.stack.callback(on_forward(model.module, guard(lambda _: self._compare_buffers(watched))))
        calls = Calls(model, watched.prefix, self._found, guard, self.builder.parts)
        self._calls[watched] = calls
        calls.begin_step(self._step)
        for undo in (hung, loaded, calls.end, stays_behind(model)):
            self.stack.callback(undo)

    def _follow(self, watched: WatchedModel, optimizer: Optimizer) -> None:
        """Hang hooks on an optimizer."""
        doing = f"a step of {type(optimizer).__name__}"

        def before() -> None:
            if watched.replaced:
                raise RecorderError.same_names(step=self._step)
            watched.took_part = True
            self.evaluating = False  # whoever steps is training, in whatever mode
            self._begun = True
            if self._settled and not self._has_batches:  # no training pass was seen: of a model in evaluation mode, say
                self._begin_step()
            self._open()
            self._causes.run(watched.model, watched.prefix, self._step, self._optimizer_steps)
            share = watched.share(optimizer)
            watched.record_rates(self.builder, self._step, share.groups(optimizer))
            self._causes.set_rates(optimizer, share, self._step)

        def gradients() -> None:
            watched.record_gradients(self.builder, self._step, optimizer)
            record(self._found, self.builder, self._step)
            self.distributions.add_first("gradient", watched.last_gradients(), self._step)

        def after() -> None:
            watched.stepping.discard(id(optimizer))
            self._optimizer_steps += 1
            self._end()

        hung = on_step(optimizer, *(self.wholeness.guarded(doing, call) for call in (before, gradients, after)))
        watched.hung.append((type(optimizer).__name__, hung))
        self.stack.callback(hung)

    @property
    def _now(self) -> int:
        """The present step, or what stands for the time before the first one."""
        return self._step if self._begun else FIRST_STEP

    def _end(self) -> None:
        """Note that an optimizer has stepped, or was to."""
        self._over = self._parted = True
        self._unwatched.end_step()
        self._midway = False

    @contextlib.contextmanager
    def _scaled(self, optimizer: Optimizer) -> Iterator[None]:
        """Take the step that a gradient scaler leaves out, since gradients overflowed, for one that moves nothing."""
        steps = self._optimizer_steps
        yield
        watched = next((watched for watched in self._present() if optimizer in watched.optimizers), None)
        if watched and steps == self._optimizer_steps:
            with self.whole("a step of a gradient scaler"):
                watched.record_rates(self.builder, self._step, watched.groups(optimizer))
                self._end()

    def _part(self) -> None:
        """Begin another pass of the step if one of its optimizers has stepped since the last one began."""
        if self._parted:
            self._parted = False
            self._passes.append(torch._C._autograd._get_sequence_nr())
            self.builder.phase += 1

    def _on_forward(self, watched: WatchedModel) -> None:
        watched.took_part = True
        trains = watched.model.training and torch.is_grad_enabled()
        if trains and not self._has_batches:
            self._begin_step()
        if trains:
            self._part()
        self._midway = self._midway or trains  # a teacher that runs beside a student does not evaluate
        self.evaluating = not self._midway
        learns = torch.is_grad_enabled() and self._has_batches and not self._over  # in evaluation mode, too
        evaluated = None if learns or not self.evaluating else (self._now, self._optimizer_steps)
        self._calls[watched].begin_pass(self._step, evaluated)
        self._causes.run(watched.model, watched.prefix, self._now, self._optimizer_steps)
        if self.evaluating and not watched.is_borrowed:
            self._settle()
            self._look(watched.model)
        if not self._over:  # a model that is watched between two steps starts with the next one
            self._open()
        if self.world and not isinstance(watched.model, DistributedDataParallel):
            self._compare_buffers(watched)

    def _compare_buffers(self, watched: WatchedModel) -> None:
        """Record the buffers of one rank of several as a step begins: whether all have the same is known by them."""
        trains = watched.model.training and torch.is_grad_enabled() and not self._over
        is_rank = self.world is not None and self.world.size > 1
        if is_rank and trains and self._shown.get(watched) != self._step:
            self._shown[watched] = self._step
            found = watched.buffers()
            names = [f"buffer_before/{name}" for name in found]
            self.builder.add("ranks", names, self._step, norms(found.values()))

    def _look(self, model: nn.Module) -> None:
        """Keep activation maps of the first image of an evaluation, of the first model that is trained."""
        place = self._step, self._optimizer_steps
        subject = next(self.trained(), None)
        if subject and subject.model is model and self._looked != place:
            self._looked = place
            self.activations.follow(model)

    def _begin_step(self) -> None:
        self._check_hooks()
        if not self._begun:
            record(self._found, self.builder, FIRST_STEP)
            self._begun = True
        if self._over:
            self._unwatched.forget()
            self._settle()
            record(self._found, self.builder, self._step)
            self._step += 1
            self._optimizer_steps, self._passes, self.builder.phase = 0, [0], 0
            self._settled = self._over = self._parted = False
            for calls in self._calls.values():
                calls.begin_step(self._step)
            self._first_step.close()
            for watched in self.watched:
                watched.forget_gradients()
            self._jitter([watched for watched in self._present() if watched.opened])
        self._open()
        if self._met != self._step:
            self._met = self._step
            self._causes.begin_step(self._step)
            if self._states is not None:
                self._meet(self._states)
            self.times.begin()

    def _see_world(self) -> None:
        """Note the process group while there is one: it may be made late, and be destroyed before the block ends."""
        if self.world is None and has_group():
            self.world = world()

    def _check_hooks(self) -> None:
        """Refuse to go on without hooks: what they would have recorded is missing."""
        hung = (pair for watched in self._present() for pair in watched.hung)
        if owner := next((owner for owner, hooks in hung if hooks.gone), ""):
            raise RecorderError.hooks_gone(owner=owner, step=self._step)

    def _check_weights(self) -> None:
        """Refuse weights that have moved since the last batch began, if no watched optimizer has stepped."""
        if not self._over:
            self._unwatched.check_weights(self._step)

    def _open(self) -> None:
        """Record the start of models that take part for the first time."""
        for watched in self.watched:
            if not (watched.opened or watched.is_borrowed or watched.lazy):
                self.structure |= watched.structure()
                self._causes.open(watched.model, watched.prefix, self._step)
                self._jitter([watched])
                watched.record_init(self.builder, self._step)
                self.builder.note("structure", watched.placements(), self._step)
                if not (self._step or watched.parts):  # of parts, nobody knows the bits of the whole
                    self.initial += exact_digest(map(held, (watched.parameters() | watched.buffers()).values()))
                if watched.optimizers:
                    self.distributions.add_first("weight", watched.parameters(), self._step)

    def _jitter(self, models: Sequence[WatchedModel]) -> None:
        """Change the weights that a step begins with by one unit in the last place; states, where they are put back.

        At the start alone it does not suffice: weights may begin at zero, or hardly matter.
        """
        if self._states is None and (seed := self._perturbation.jitter):
            weights = (weight for watched in models for weight in watched.parameters().values())
            with _apart(models):
                jitter_alike(weights, _MOST_STEPS * seed + self._step)

    def _meet(self, states: States) -> None:
        """Keep the state that a step begins with, or record how far it is from the kept one and go on from that.

        What was initialised otherwise stays so until the second state: only the losses tell whether it matters.
        """
        present = [watched for watched in self._present() if watched.opened]
        tensors = {name: tensor for watched in present for name, tensor in watched.state().items()}
        if states.collects:
            states.keep(self._step, tensors)
        elif self._step in states.steps:
            with _apart(present):
                self._put_back(states, tensors)

    def _put_back(self, states: States, tensors: Mapping[str, Tensor]) -> None:
        first = not self._step
        distances = states.put_back(
            self._step, tensors, self._perturbation.jitter, reach=_ELSEWHERE if first else math.inf
        )
        for name, distance in distances.items():
            if first or name in self._left:  # what was left where it started is still at its initial distance
                key = StreamKey(name)
                start = StreamKey.of("init", key.tensor, key.entry, distance=True)
                self.builder.add("init", [start], max(0, self._step - 1), [distance])
            else:
                self.builder.add("state", [f"distance/{name}"], self._step - 1, [distance])
        self._left = {name for name, distance in distances.items() if first and distance > _ELSEWHERE}

    def _settle(self) -> None:
        """Record what the step left behind, once, as soon as something else begins."""
        if self._over and not self._settled:
            self.times.end()
            self._settled = True
            self._has_stepped = self._has_stepped or self._optimizer_steps > 0
            self.builder.add("update", ("optimizer_steps",), self._step, (self._optimizer_steps,))
            record_states(self._present(), self.builder, self._step)


@contextlib.contextmanager
def _apart(models: Sequence[WatchedModel]) -> Iterator[None]:
    """Move weights in a block, which is no part of their updates."""
    before = [watched.weights() for watched in models]
    yield
    for watched, weights in zip(models, before, strict=True):
        watched.shift(weights)


def _number(made: object) -> float:
    """Return the number of the operation that made a tensor, in the order of operations with gradients."""
    node = getattr(made, "grad_fn", None)
    return math.inf if node is None else node._sequence_nr()


def _stands_in(watched: WatchedModel, former: WatchedModel, optimizer: Optimizer | None, name: str | None) -> bool:
    """Tell whether a model takes the place of a former one: the same tensors, and the same name or none to tell by."""
    same_place = former.prefix == watched.prefix if name else optimizer is not None and bool(former.optimizers)
    tensors, its_tensors = ([name for name, _ in each.model.named_parameters()] for each in (watched, former))
    return same_place and tensors == its_tensors
