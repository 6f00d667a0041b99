"""Hold a record against its baseline: data, no text."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from harness.comparing.deviations import DATASET, Deviation, Divergence, clue_deviations, exact, stream_deviations
from harness.comparing.notebook import place, table
from harness.inert import inert_line
from harness.record import STAGES, Baseline, Record, StreamKey
from harness.record.environment import differences
from harness.record.matching import in_names_of, is_frozen
from harness.record.record import require_record
from harness.record.streams import CALLS
from harness.record.world import world_changes


Verdict = Literal["same", "drift", "not judged", "different"]
"""same: nothing moved beyond the threshold; drift: low precision moved as rounding explains, or only values of trained
weights moved while losses, gradients, updates and evaluations did not; not judged: numbers moved further than rounding
is known to, and nothing says that they are different; different: anything else."""
_SWITCHES = ("fused", "foreach", "capturable", "differentiable")
"""Settings that choose an implementation: named where nothing else is."""
_RATES = {"max_lr": -1, "initial_lr": 1}
"""Of the settings that a schedule writes: what a user gave stands before what follows from it."""
_FUNCTIONAL = ("forward", "backward", "update", "evaluation")
"""Stages that what matters of a training shows in."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """A record held against its baseline; a notebook shows it as a table of the streams that left.

    Args:
        baseline: the committed one, its tensors named as in the present record.
        record: the present one.
        points: every value that was compared, within its threshold or not: structure and data set first, then stream
            by stream.
        environment: (name, former, present) of what changed around the training.
        recipe: (field, former, present) of what changed in the recipe.
        world: (field, former, present) of what changed in the process group.
        renamed: (former, present) names of tensors that were matched by shape and order.
        unknown: streams of kinds that only one of the two recorders knew, which were not compared.
    """

    baseline: Baseline
    record: Record
    points: tuple[Deviation, ...]
    environment: tuple[tuple[str, str, str], ...]
    recipe: tuple[tuple[str, object, object], ...]
    world: tuple[tuple[str, object, object], ...]
    renamed: tuple[tuple[str, str], ...]
    unknown: tuple[StreamKey, ...]

    def __repr__(self) -> str:
        found = self.told
        text = f"from {place(found[0])} on" if found else f"largest deviation {self.largest:.1e}"
        values = f"{len(found)} of {len(self.points)} values" if found else f"{len(self.points)} values"
        return inert_line(f"<Comparison of {self.record.name}: {self.verdict}, {text}, {values}>")

    def _repr_html_(self) -> str:
        return table(repr(self).strip("<>"), self.told)

    @property
    def told(self) -> tuple[Deviation, ...]:
        """What there is to say: the values that differ, or those that could not be judged."""
        return self.undecided if self.verdict == "not judged" else self.deviations

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """Every value beyond its threshold, in causal order."""
        beyond = (point for point in self.points if point.is_beyond)
        return tuple(sorted(beyond, key=lambda deviation: deviation.causal_order))

    @cached_property
    def undecided(self) -> tuple[Deviation, ...]:
        """Every value that moved further than rounding explains and that nothing could have failed, in causal order."""
        points = (point for point in self.points if point.is_undecided)
        return tuple(sorted(points, key=lambda deviation: deviation.causal_order))

    @property
    def moved(self) -> Deviation | None:
        """The first value that is not the baseline's, within its threshold or not; None if all are equal."""
        points = (point for point in self.points if point.size > 0)
        return min(points, key=lambda point: point.causal_order, default=None)

    @cached_property
    def largest(self) -> float:
        """Largest deviation of any number that is judged, within its threshold or not; 0.0 for equal records."""
        return max((point.size for point in self.points if point.is_judged), default=0.0)

    @cached_property
    def unjudged(self) -> dict[str, int]:
        """Family of streams to the first step from which on rounding moves it too far for it to be judged."""
        steps: dict[str, int] = {}
        for point in self.points:
            if not point.limit.judges:
                steps[point.stream.family] = min(point.step, steps.get(point.stream.family, point.step))
        return steps

    @cached_property
    def loosest(self) -> float:
        """Largest threshold of a number that is judged by what its own training showed; 0.0 if none is."""
        measured = (point.limit for point in self.points if point.limit.judges and point.limit.measured is not None)
        return max((limit.size for limit in measured), default=0.0)

    @cached_property
    def num_values(self) -> int:
        """Values that were compared and are judged."""
        return sum(point.is_judged for point in self.points)

    @cached_property
    def streams(self) -> frozenset[StreamKey]:
        """The streams that were compared."""
        return frozenset(self.baseline.record.streams.keys() | self.record.streams.keys()) - {*self.unknown}

    @cached_property
    def verdict(self) -> Verdict:
        """same, drift, not judged or different.

        A number that a threshold could have failed makes the verdict "different". Without one, a number that moved and
        that no threshold could have failed makes it "not judged": one such number suffices, since a fault may show in
        it alone. Low precision without states has them in another environment: accuracies, and after a few steps
        gradients, of which only another training's rounding is known. Float64 has them where rounding grows beyond all
        measure: there the verdict stays "same" while they move no further than jitter moved them when the baseline was
        made, times the margin and up to a tenth. Equal numbers are the same, judged or not.
        """
        shifted = _shifted_weights(self.deviations, self.record) if self._shows_function else set()
        if not all(_is_harmless(deviation, shifted) for deviation in self.deviations):
            return "different"
        if self.undecided:
            return "not judged"
        moved = self.record.is_low_precision and any(point.size > 0 for point in self.points)
        return "drift" if self.deviations or moved else "same"

    @property
    def _shows_function(self) -> bool:
        """Whether anything was judged that a shift of weights would show in if it mattered."""
        return any(point.limit.judges and point.stage in _FUNCTIONAL for point in self.points)

    @property
    def growth(self) -> dict[int, float]:
        """Step to the largest finite deviation in it, of the steps that deviate, ascending."""
        largest: dict[int, float] = {}
        for deviation in self.deviations:
            if math.isfinite(deviation.size):
                largest[deviation.step] = max(largest.get(deviation.step, 0.0), deviation.size)
        return dict(sorted(largest.items()))

    @property
    def starts_elsewhere(self) -> bool:
        """Whether the initial weights are equal in every number that is compared, but not in every bit.

        Another environment may draw other last digits; in the same one, somebody changed them.
        """
        digests = {self.baseline.record.initial, self.record.initial} - {""}
        shown = any(deviation.stage == "init" and not deviation.step for deviation in self.deviations)  # no resume's
        return len(digests) > 1 and not (self.environment or shown)

    @cached_property
    def cause(self) -> Deviation | None:
        """What names the cause of the first deviation better than that does: a setting, a mode, a module; or None.

        It stands before the deviation, in the same step or the one before, since what is set up acts at once; the
        world, and what a recipe or a configuration says, may act at any later step, and a data loader at any on what it
        loads, and on a schedule if it takes other steps. A module whose numbers left earlier and moved nothing is no
        cause: it was written in another way.
        """
        effect = next(iter(self.told), None)
        if effect is None:
            return None
        changes = [("world", *change) for change in self.world] + [("config", *change) for change in self.recipe]
        set_up = (exact("structure", StreamKey.of(kind, name), 0, old, new) for kind, name, old, new in changes)
        clues = clue_deviations(self.baseline.record, self.record, self.baseline.calibration)
        beyond = [clue for clue in (*set_up, *clues) if clue.is_beyond]
        idle = {clue.stream for clue in beyond if clue.stream.kind in CALLS and clue.step < effect.step - 1}
        beyond = [clue for clue in beyond if clue.stream not in idle and not self._is_of_end(clue)]
        causes = (clue for clue in beyond if _may_cause(clue, effect, takes_others=self._takes_other_steps))
        return min(causes, key=_rank, default=None)

    def _is_of_end(self, clue: Deviation) -> bool:
        """Tell whether generators are said to be others where one of the trainings had ended: it is another moment."""
        end = min(self.baseline.record.num_steps, self.record.num_steps)
        return clue.stream.kind == "random" and self._takes_other_steps and clue.step >= end

    @property
    def _takes_other_steps(self) -> bool:
        return self.baseline.record.num_steps != self.record.num_steps

    @property
    def first(self) -> Deviation | None:
        """What is told first: the cause, or else the first value that differs or could not be judged."""
        return self.cause or next(iter(self.told), None)

    @property
    def structure(self) -> dict[str, Mapping[str, Any]]:
        """Every tensor of either, the present one where both have it."""
        return {**self.baseline.record.structure, **self.record.structure}

    @property
    def frozen(self) -> dict[str, bool]:
        """Frozen tensors that an optimizer holds now, and did not, or the other way round; it changes nothing."""
        before, now = self.baseline.record.structure, self.record.structure
        both = {name: (before[name], now[name]) for name in before if name in now}
        held = {
            name: [entry.get("group") is not None for entry in entries]
            for name, entries in both.items()
            if all(map(is_frozen, entries))
        }
        return {name: now for name, (before, now) in held.items() if before != now}

    @property
    def first_divergence(self) -> Divergence | None:
        """Step, stage and stream where the record first leaves its baseline, or None."""
        return self.first.divergence if self.first and self.deviations else None

    @property
    def unchanged(self) -> tuple[str, ...]:
        """Stages, in causal order, that agree up to and in the step of the first divergence, judged or not.

        Of a stage that nothing was recorded of, nothing can be said.
        """
        found = (*self.deviations, *self.undecided)
        first = next(iter(found), None)
        before = STAGES[: STAGES.index(first.stage)] if first else STAGES
        points = (point for point in self.points if point.stream != DATASET or self.record.data)
        known = {point.stage for point in points if not first or point.causal_order < first.causal_order}
        known -= {self.cause.stage} if self.cause else set()
        known -= {other.stage for other in found if first and other.step <= first.step}
        return tuple(stage for stage in before if stage in known)


def compare(baseline: Baseline | Record, record: Record) -> Comparison:
    """Compare a record with its baseline, stage by stage in causal order.

    NaN and infinity deviate, in the baseline too; so do a missing or an extra step or stream, unless the recorder of
    one of the two did not know its kind. Integers and fingerprints must be equal. Float64 numbers may differ by what
    the training itself showed under rounding when its baseline was made (`Calibration`), step by step, or by 1e-10 of
    their size if it was not measured. In float32 and bfloat16 they may part, as drift, by the baseline's calibrated
    thresholds if the training was put back on its states (`recording.states.States`); without states they must be equal
    in the same environment, and in another losses and early gradients may part as the measured envelope allows. Numbers
    that moved where nothing could have failed them make the verdict "not judged". A shift of trained weights that moves
    nothing else is drift, too. Renamed tensors are matched by shape and order. What the baseline's gate lets go is not
    held against the record.

    Args:
        baseline: the committed one, or a record alone.
        record: the present one.

    Raises:
        ArgumentError: one is no record.
    """
    baseline = baseline if isinstance(baseline, Baseline) else Baseline(baseline)
    for each in (baseline.record, record):
        require_record(each, "compare")
    record = record.without(baseline.gate.ignore)
    before, renamed = in_names_of(record, baseline.judged)
    points = (*_structure(before, record), *stream_deviations(before, record, baseline.calibration, baseline.gate))
    compared = {point.stream for point in points}
    streams = {**before.streams, **record.streams}
    fields = {**before.recipe, **record.recipe}
    recipe = ((name, before.recipe.get(name), record.recipe.get(name)) for name in fields)
    return Comparison(
        baseline=dataclasses.replace(baseline, record=before),
        record=record,
        points=points,
        environment=tuple(differences(before.environment, record.environment)),
        recipe=tuple(change for change in recipe if change[1] != change[2]),
        world=tuple(world_changes(before.world, record.world)),
        renamed=tuple(renamed.items()),
        unknown=tuple(key for key, stream in streams.items() if stream.steps and key not in compared),
    )


def _rank(clue: Deviation) -> tuple[bool, tuple[Any, ...], int]:
    """Order causes: last a switch, a class of another name, a key of a configuration that was only added or dropped."""
    one_sided = clue.stream.kind == "config" and None in (clue.baseline, clue.value)
    last = one_sided or clue.stream.entry in _SWITCHES or _is_renamed_class(clue)
    return last, clue.causal_order, _RATES.get(clue.stream.entry, 0)


def _is_renamed_class(clue: Deviation) -> bool:
    """Tell whether a module says the same of itself, but for the name of its class."""
    before, now = (str(value).partition("(")[2] for value in (clue.baseline, clue.value))
    return clue.stream.kind == "module" and None not in (clue.baseline, clue.value) and before == now


def _may_cause(clue: Deviation, effect: Deviation, *, takes_others: bool) -> bool:
    """Tell whether something that was set up otherwise may be why a value is another.

    Args:
        clue: what was set up.
        effect: the value.
        takes_others: whether the training takes more or fewer steps than its baseline.
    """
    unseen = clue.stream.kind in ("mode", "random", "placement") and None in (clue.baseline, clue.value)
    if unseen or clue.causal_order >= effect.causal_order:
        return False
    if effect.stream.kind == "learning_rate" and clue.stream.kind == "setting":  # a schedule may move others beside it
        return "lr" in clue.stream.entry
    if clue.stream.kind == "loader" and None not in (clue.baseline, clue.value):
        is_planned = effect.stage == "schedule" and takes_others  # by how many batches there are
        return is_planned or effect.stage == "data"  # what workers draw shows in the second epoch
    if clue.stream.kind == "random":  # other numbers act at once, and on no rate
        return clue.step >= effect.step and effect.stage != "schedule"
    return clue.stream.kind in ("world", "config") or clue.step >= effect.step - 1


def _shifted_weights(deviations: Iterable[Deviation], record: Record) -> set[str]:
    """Return the names of the trained tensors whose own values deviate."""
    tensors = {deviation.stream.tensor for deviation in deviations if _is_value(deviation.stream)}
    return {name for name in tensors if record.structure.get(name, {}).get("group") is not None}


def _is_harmless(deviation: Deviation, shifted: Iterable[str]) -> bool:
    """Tell whether a deviation is only the value of a trained weight, which changes nothing if it stands alone.

    A shift of all biases in front of softmax is one. BatchNorm's state is not, and an average of weights is not unless
    the weights that it averages are shifted, too: they are there to be evaluated.
    """
    tensor = deviation.stream.tensor
    follows = any(tensor == name or tensor.endswith(f".{name}") for name in shifted)
    return _is_value(deviation.stream) and follows and math.isfinite(deviation.size)


def _is_value(key: StreamKey) -> bool:
    """Tell whether a stream holds values of weights; of distances those where they started, not of later updates."""
    return key.kind == "init" or (key.kind == "weight" and not key.distance)


def _structure(baseline: Record, record: Record) -> Iterator[Deviation]:
    yield exact("structure", StreamKey("precision"), 0, baseline.format_text, record.format_text)
    for name in {**baseline.structure, **record.structure}:
        before, now = baseline.structure.get(name), record.structure.get(name)
        if before and now and is_frozen(before) and is_frozen(now):
            before, now = ({**entry, "group": None} for entry in (before, now))
        yield exact("structure", StreamKey(name), 0, before, now)
    yield exact("data", DATASET, 0, baseline.data, record.data)
