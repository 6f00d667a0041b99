"""One watched model and its optimizers: what to measure of them, and under which names."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Real
from typing import Any, NamedTuple, SupportsFloat, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from harness.errors import PrecisionError, RecorderError
from harness.recipe import Precision
from harness.record import Part, StreamKey
from harness.recording.by_design import ByDesign
from harness.recording.by_hand import ByHand
from harness.recording.hooks import Hung
from harness.recording.named_tensors import Named, NamedTensors
from harness.recording.norms import measured, norms, real
from harness.recording.parameter_groups import Group, Share, are_fixed, entries
from harness.recording.parts import held, parts_of, placements
from harness.recording.precision import Origin
from harness.recording.rounding_noise import drop_noise
from harness.recording.stream_builder import StreamBuilder


class Left(NamedTuple):
    """What a step left behind.

    Args:
        updates: their norms by stream name, where the weights are.
        state: weights, buffers and optimizer state, by stream name.
    """

    updates: dict[str, Tensor]
    state: dict[str, Tensor]


class WatchedModel:
    """A model, the prefix of its tensors' names, its optimizers, and a copy of its weights as the last step ended."""

    def __init__(self, model: nn.Module, prefix: str, precision: Precision) -> None:
        self.model, self.prefix, self._precision = model, prefix, precision
        self.optimizers: list[Optimizer] = []
        self._named = NamedTensors(model, self.optimizers)
        self.replaced = self.opened = self.took_part = False
        self._previous: dict[str, Tensor] = {}
        self._left: tuple[Mapping[str, Tensor], list[float]] = {}, []  # what the last step left behind, and its norms
        self._largest = (-1, 0.0)
        self.parts: dict[str, Part] = {}  # that this rank holds of tensors that are divided over ranks, by stream name
        self._stepped = (-1, 0)  # in which step last, and in which of its phases
        self._gradients: dict[str, tuple[Tensor, int]] = {}
        self.hung: list[tuple[str, Hung]] = []  # on whom, and what
        self.stepping: set[int] = set()  # ids of optimizers whose gradients of this step are recorded
        self._known: dict[str, Tensor] = {}
        self._shares: dict[Optimizer, Share] = {}
        self._rows: dict[str, tuple[int, list[str], list[float]]] = {}
        self._by_design = ByDesign()
        self.by_hand: ByHand | None = None

    def check_precision(self, origin: Origin) -> None:
        """Refuse weights in another precision, and say where they come from."""
        if self._precision == "bfloat16":  # weights may be float32 under autocast, or bfloat16
            return
        for name, parameter in self.parameters().items():
            found = str(parameter.dtype).removeprefix("torch.")
            if found != self._precision and not is_lazy(parameter) and parameter.is_floating_point():
                made = origin(parameter)
                raise PrecisionError.dtype(tensor=name, found=found, precision=self._precision, made=made)

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """Take an optimizer of this model, one that holds some of its parameters."""
        own = {id(parameter) for parameter in self.parameters().values()}
        if own.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
            raise RecorderError.foreign_optimizer()
        self.optimizers.append(optimizer)

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters by prefixed name."""
        return self._named.now(self.prefix).parameters

    def trained_weights(self) -> dict[str, Tensor]:
        """Return those of the parameters, known from the last step, that its optimizers hold, by prefixed name."""
        return self._names(
            p for optimizer in self.optimizers for group in optimizer.param_groups for p in group["params"]
        )

    def norms(self, tensors: Iterable[Tensor]) -> list[float]:
        """Return the norm of what this rank holds of each of some tensors of the model."""
        return norms(map(held, tensors) if self._named.last.is_distributed else tensors)

    def left_weights(self) -> dict[Tensor, float]:
        """Return the norms that the last step left behind, by weight."""
        left = dict(zip(*self._left, strict=True))
        norms = {weight: left.get(f"weight/{name}") for name, weight in self._known.items()}
        return {weight: norm for weight, norm in norms.items() if norm is not None}

    def buffers(self) -> dict[str, Tensor]:
        """Return the buffers (BatchNorm's state, say) by prefixed name."""
        return self._named.now(self.prefix).buffers

    def placements(self) -> dict[str, str]:
        """Say how tensors that are distributed over ranks are, by stream name."""
        return placements(self.parameters() | self.buffers()) if self._named.last.is_distributed else {}

    def structure(self) -> dict[str, dict[str, Any]]:
        """Return shape, dtype, requires_grad and parameter group of every tensor."""
        self._known = self.parameters()
        groups = (pair for optimizer in self.optimizers for pair in self.groups(optimizer))
        labels = {name: label for label, group in groups for name in self._names(group["params"])}
        return {
            name: {
                "shape": list(tensor.shape),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "requires_grad": tensor.requires_grad,
                "group": labels.get(name),
            }
            for name, tensor in (self.parameters() | self.buffers()).items()
        }

    @property
    def begun(self) -> bool:
        """Whether it has taken part in the training."""
        return bool(self._previous)

    @property
    def is_borrowed(self) -> bool:
        """Whether `functional_call` computes with other tensors in the place of its parameters, for this pass."""
        return not all(isinstance(parameter, nn.Parameter) for parameter in self.model.parameters())

    @property
    def lazy(self) -> str:
        """Name of a tensor that has no shape yet, before the first forward pass of a lazy module; empty if none is."""
        return next((name for name, tensor in (self.parameters() | self.buffers()).items() if is_lazy(tensor)), "")

    def take_over(self, former: "WatchedModel") -> None:
        """Go on where a former model of the same tensors stopped, as after a resume."""
        former.replaced = True
        self.prefix, self._previous, self._by_design = former.prefix, former._previous, former._by_design

    @torch.inference_mode(False)  # an evaluation may be what comes first: the copies of the weights outlive it
    def record_init(self, builder: StreamBuilder, step: int) -> None:
        """Record the weights and buffers that the run starts from."""
        tensors = {name: each for name, each in self.state().items() if StreamKey(name).kind != "optimizer"}
        names = [StreamKey.of("init", StreamKey(name).tensor) for name in tensors]
        builder.add("init", names, step, self._by_design.norms(tensors, norms(tensors.values())))
        if not self._previous:
            self._previous = self.weights()
        self.opened = True

    @torch.no_grad()
    def record_gradients(self, builder: StreamBuilder, step: int, optimizer: Optimizer) -> None:
        """Record the gradients that an optimizer is about to use, in float64 without what is rounding noise in them.

        Of a closure that is called several times in a step, the first gradients are recorded.
        """
        self._stepped = step, builder.phase
        every = {name: p.grad for name, p in self._known.items() if p.grad is not None}
        if self._named.last.is_distributed:
            self.parts |= {f"gradient/{name}": part for name, part in parts_of(every).items()}
            every = {name: held(gradient) for name, gradient in every.items()}
        found = dict(zip(every, norms(every.values()), strict=True))
        gradients = {name: every[name] for name in self._shares[optimizer].own if name in every}
        if self._precision == "float64":
            if self.parts:
                found |= self._drop_noise_of_parts(step, gradients, found)
            else:
                found |= drop_noise(gradients, found, self._grown(step, found.values()))
        self._gradients |= {name: (gradient, gradient._version) for name, gradient in gradients.items()}
        if id(optimizer) not in self.stepping:
            self.stepping.add(id(optimizer))
            streams = [f"gradient/{name}" for name in gradients]
            self._add_once(builder, "backward", streams, step, [found[name] for name in gradients])

    def _grown(self, step: int, sizes: Iterable[float]) -> float:
        """Return the largest of some norms and of those that other optimizers had in this step."""
        largest = self._largest[1] if self._largest[0] == step else 0.0
        self._largest = (step, max([largest, *sizes]))
        return self._largest[1]

    def _drop_noise_of_parts(
        self, step: int, gradients: dict[str, Tensor], found: dict[str, float]
    ) -> dict[str, float]:
        """Drop noise from gradients of which some are divided over ranks, and return the norms that this changed.

        What several ranks hold must stay the same on all of them, so that only what they all hold has a say in it; what
        a slice's tensor measures is estimated.
        """
        parts = {name: part for name in found if (part := self.parts.get(f"gradient/{name}"))}
        largest = self._grown(step, (norm for name, norm in found.items() if name not in parts))
        dropped = drop_noise({name: each for name, each in gradients.items() if name not in parts}, found, largest)
        for part in {*parts.values()}:
            if not part.is_summand:
                slices = {name: each for name, each in gradients.items() if parts.get(name) == part}
                estimates = (math.sqrt(part.count) * found[name] for name in slices)
                dropped |= drop_noise(slices, found, max([largest, *estimates]))
        return dropped

    def last_gradients(self) -> dict[str, Tensor]:
        """Return the gradients that the optimizers used last, but no parts, and none that were overwritten since."""
        last = {name: tensor for name, (tensor, version) in self._gradients.items() if tensor._version == version}
        if not self.parts:
            return last
        return {name: tensor for name, tensor in last.items() if f"gradient/{name}" not in self.parts}

    def forget_gradients(self) -> None:
        """Free the gradients of the step that is over: they are the largest thing that is held on to."""
        self._gradients.clear()

    def groups(self, optimizer: Optimizer) -> list[Group]:
        """Return an optimizer's parameter groups as they are now, by the name of each."""
        return self.share(optimizer).groups(optimizer)

    def share(self, optimizer: Optimizer) -> Share:
        """Return what an optimizer holds now; the same object as before, if that is what it held before."""
        groups, last = optimizer.param_groups, self._shares.get(optimizer)
        now = entries(groups)
        if last and last.known is self._known and _are_the_same(now, last.held):
            return last
        parameters = [parameter for group in groups for parameter in group["params"]]
        if not {*map(id, parameters)} <= {*map(id, self._known.values())}:
            self._known = self.parameters()  # some may have joined since the last step
        # named after its first tensor in the model's order: their order is free
        labels = [next(iter(self._names(group["params"])), f"{self.prefix}none") for group in groups]
        share = self._shares[optimizer] = Share(self._known, now, are_fixed(groups), self._names(parameters), labels)
        return share

    def record_rates(self, builder: StreamBuilder, step: int, groups: Iterable[Group]) -> None:
        """Record the learning rate in effect of each parameter group (`groups`) that is not frozen."""
        found = {label: group.get("lr") for label, group in groups if _trains(group)}
        rates = {label: float(rate) for label, rate in found.items() if _is_number(rate)}
        self._add_once(builder, "schedule", [f"learning_rate/{label}" for label in rates], step, list(rates.values()))

    def _add_once(self, builder: StreamBuilder, stage: str, names: list[str], step: int, values: list[float]) -> None:
        """Add a row unless it is the step's last one again: of an optimizer that steps twice, the count tells."""
        row = (step, names, values)
        if self._rows.get(stage) != row:
            self._rows[stage] = row
            builder.add(stage, names, step, values)

    def left(self) -> Left:
        """Return what the step left behind, and copy the weights."""
        named = self._named.now(self.prefix)
        self._known = named.parameters
        if not self.optimizers:  # an average has no updates of its own
            return Left({}, self._held(named))
        return Left(dict(zip(named.updates, self._updates(), strict=True)), self._held(named))

    def _held(self, named: Named) -> dict[str, Tensor]:
        """Return what this rank holds of weights, buffers and optimizer state."""
        if not named.is_distributed:
            return named.state
        self.parts |= named.parts
        return {name: held(tensor) for name, tensor in named.state.items()}

    def record_left(
        self, builder: StreamBuilder, step: int, left: Left, updates: list[float], state: list[float]
    ) -> None:
        """Record what the step left behind, of whose updates and state these are the norms."""
        phase = self._stepped[1] if self._stepped[0] == step else builder.phase
        builder.add("update", [*left.updates], step, updates, phase=phase)
        self._left = left.state, self._by_design.norms(left.state, state)
        builder.add("state", [*left.state], step, self._left[1])

    @torch.inference_mode(False)
    @torch.no_grad()
    def record_end(self, builder: StreamBuilder, step: int) -> None:
        """Record weights, buffers and optimizer state again if they moved after the last step's were recorded.

        What is done after the last evaluation (the best weights are restored, an average is brought up to date) makes
        the model that is kept.
        """
        state = self.state() if self._left[0] else {}
        values = self._by_design.norms(state, norms(state.values()))
        left = dict(zip(*self._left, strict=True))
        if not all(map(_is_equal, values, (left.get(name, math.nan) for name in state))):
            builder.add("state", list(state), step, values)

    def state(self) -> dict[str, Tensor]:
        """Return weights, buffers and optimizer state by stream name, as far as this rank holds them."""
        named = self._named.now(self.prefix)
        self._known = named.parameters
        return self._held(named)

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """Return copies of the weights, as dense numbers that can be subtracted."""
        self._known = self.parameters()
        return dict(zip(self._known, map(torch.clone, self._numbers()), strict=True))

    @torch.no_grad()
    def shift(self, before: dict[str, Tensor]) -> None:
        """Count updates as if the weights had been where they are now; what had moved them earlier still counts.

        Args:
            before: what `weights` returned before they were moved.
        """
        for name, weight in zip(self._known, self._numbers(), strict=True):
            previous = self._previous.get(name)
            if previous is not None and previous.shape == weight.shape:  # equal ones stay so, to the last bit
                moved = previous + (weight - before[name])
                previous.copy_(torch.where(previous == before[name], weight, moved))

    def _updates(self) -> Sequence[Tensor]:
        """Return the norms of the updates, and copy the weights while both are in the caches."""
        weights = self._numbers()
        for name, weight in zip(self._known, weights, strict=True):
            if name not in self._previous or self._previous[name].shape != weight.shape:  # added or resized since
                self._previous[name] = torch.zeros_like(weight)
        copies = [self._previous[name] for name in self._known]
        torch._foreach_sub_(copies, weights)
        updates = measured(copies)
        torch._foreach_copy_(copies, weights)
        return updates

    def _numbers(self) -> list[Tensor]:
        """Return the known parameters as dense numbers that can be subtracted, whatever their layout and dtype."""
        known: Iterable[Tensor] = self._known.values()
        known = map(held, known) if self._named.last.is_distributed else known
        dense = (p if p.layout is torch.strided else p.to_dense() for p in known)
        return [real(weight, torch.get_default_dtype()) for weight in dense]

    def _names(self, parameters: Iterable[Tensor | None]) -> dict[str, Tensor]:
        """Return those of some parameters that are the model's, by name, in the model's order."""
        wanted = {id(parameter) for parameter in parameters}
        return {name: parameter for name, parameter in self._known.items() if id(parameter) in wanted}


@torch.no_grad()
def record_states(models: Iterable[WatchedModel], builder: StreamBuilder, step: int) -> None:
    """Record what a step left behind in models that have begun: updates, weights, buffers, optimizer state."""
    if torch.is_inference_mode_enabled():  # an evaluation follows, and copies of weights outlive it
        with torch.inference_mode(False):
            return record_states(models, builder, step)
    begun = [watched for watched in models if watched.begun]
    left = [watched.left() for watched in begun]
    moved = [each for its in left for each in its.updates.values()]
    found = iter(norms((each for its in left for each in its.state.values()), before=moved))
    updates = [[*islice(found, len(its.updates))] for its in left]
    for watched, its, own in zip(begun, left, updates, strict=True):
        watched.record_left(builder, step, its, own, [*islice(found, len(its.state))])


def _are_the_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _trains(group: Mapping[str, Any]) -> bool:
    return any(parameter.requires_grad or parameter.grad is not None for parameter in group["params"])


def _is_number(rate: object) -> TypeGuard[SupportsFloat]:
    return isinstance(rate, Real) or (isinstance(rate, Tensor) and rate.numel() == 1)


def _is_equal(one: float, other: float) -> bool:
    """Tell whether two norms of one tensor are equal but for the order in which they were added up."""
    return math.isclose(one, other, rel_tol=1e-15) or (math.isnan(one) and math.isnan(other))
