"""Notice what trains a watched model unseen: an optimizer that nobody watches, weights that are moved by hand."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from harness.errors import RecorderError
from harness.recording.hooks import Hung
from harness.recording.watched_model import WatchedModel


_ROUNDING = 4
"""Units in the last place by which the norm of a weight differs that was moved and put back (by SAM, say)."""


class Unwatched:
    """Follows what happens between the steps of watched optimizers.

    Weights are compared from the end of the first pass that a batch takes through their model to the next batch: a
    model may bound its own weights when it runs (max-norm), and what moves them for a while within a batch (SAM,
    adversarial training) puts them back. Where passes are not seen (of a compiled model, or one that is called by its
    parts), from batch to batch. By their norms, because the values take a copy; and until weights are seen to move, by
    those that the last step has left: one of the two then moved them, the model or somebody else.

    Args:
        present: returns the watched models that no other one has replaced.
    """

    def __init__(self, present: Callable[[], Iterable[WatchedModel]]) -> None:
        self._present = present
        self._marks: dict[WatchedModel, dict[Tensor, float]] = {}
        self._seen: set[WatchedModel] = set()  # models of which a pass was seen
        self._hang: dict[WatchedModel, Callable[[], Hung]] = {}
        self._hung: dict[WatchedModel, Hung] = {}  # what tells that a pass has ended, where that is asked for
        self._running: list[tuple[Optimizer, int]] = []  # optimizers in their step, with the number of steps before it
        self._steps = self._batches = self._most_batches = self._moving = 0
        self._stranger = ""
        self._suspects = False  # whether weights have moved since a step

    def follow(self, watched: WatchedModel, hang: Callable[[], Hung]) -> None:
        """Follow the passes of a model: `hang` has each end in `end_pass`, until what it returns is called."""
        self._hang[watched], self._hung[watched] = hang, hang()

    def leave(self) -> None:
        """Follow no passes any more."""
        for hung in self._hung.values():
            hung()
        self._hung.clear()

    def begin_batch(self) -> None:
        """Count a batch, and mark the weights of models whose passes are not seen."""
        self._batches += 1
        for watched in self._present():
            if watched.optimizers and watched not in self._seen:
                self._mark(watched)

    def end_pass(self, watched: WatchedModel) -> None:
        """Mark the weights of a model after its first pass in a batch."""
        if watched not in self._seen:
            self._seen.add(watched)
            self._marks.pop(watched, None)  # from before the pass
        if self._suspects:
            self._mark(watched)
        elif hung := self._hung.pop(watched, None):  # its weights are as the last step has left them
            hung()

    def end_step(self) -> None:
        """Count the step of a watched optimizer."""
        self._steps += 1
        self._most_batches = max(self._most_batches, self._batches)
        self._batches, self._moving, self._stranger = 0, 0, ""

    def forget(self) -> None:
        """Let the weights move."""
        self._marks.clear()

    def check_weights(self, step: int) -> None:
        """Refuse weights that move in batch after batch without a watched step, and let them move from now on.

        As many batches as went into a step before may do so: what bounds, decays or starts weights anew at the end of
        an epoch stands beside a step that was left out, or an accumulation that was not finished.

        Raises:
            RecorderError: more have.
        """
        name = self._moved(self._marks)
        suspect = name or self._moved({watched: watched.left_weights() for watched in self._unmarked()})
        self.forget()
        self._moving = self._moving + 1 if suspect else 0
        if suspect and not self._suspects:
            self._suspects = True
            self._hung |= {watched: hang() for watched, hang in self._hang.items() if watched not in self._hung}
        if name and self._steps and self._moving > self._most_batches:
            raise RecorderError.moved_unwatched(tensor=name, step=step)

    def _unmarked(self) -> list[WatchedModel]:
        return [] if self._suspects else [watched for watched in self._present() if watched in self._seen]

    @staticmethod
    def _moved(marked: Mapping[WatchedModel, Mapping[Tensor, float]]) -> str:
        """Return the name of a weight whose norm is another one now; empty if none is."""
        for watched, marks in marked.items():
            weights = {name: weight for name, weight in watched.trained_weights().items() if weight in marks}
            for (name, weight), norm in zip(weights.items(), watched.norms(weights.values()), strict=True):
                before, epsilon = marks[weight], torch.finfo(weight.dtype).eps
                if abs(norm - before) > _ROUNDING * epsilon * before:
                    return name
        return ""

    def check_end(self, step: int) -> None:
        """Refuse batches at the end of a training that an optimizer of an unwatched model has used.

        As many as went into a step before are legal: what belongs to a watched model (a generator's critic) may be
        trained unwatched, and the last ones may lack the step that the watched optimizer was to take.

        Raises:
            RecorderError: there are more.
        """
        if self._stranger and self._batches > self._most_batches:
            raise RecorderError.batches_unwatched(count=self._batches, optimizer=self._stranger, step=step)

    def begin(self, optimizer: Optimizer) -> None:
        """Called as the step of any optimizer begins."""
        self._leave(optimizer)  # its former step has raised
        self._running.append((optimizer, self._steps))

    def end(self, optimizer: Optimizer, step: int) -> None:
        """Refuse the step of an unwatched optimizer, unless it is part of a watched one's or has one as its part.

        Called when the step of any optimizer is done, after those hooks that are the optimizer's own.

        Raises:
            RecorderError: it is that of a weight of a watched model.
        """
        if self._leave(optimizer) != self._steps:  # a watched one has stepped meanwhile: this one, mostly
            return
        watched = {its for model in self._present() for its in model.optimizers}
        if optimizer in watched or any(other in watched for other, _ in self._running):
            return
        used = {p for group in optimizer.param_groups for p in group["params"] if p.grad is not None}
        weights = ((name, p) for model in self._present() for name, p in model.parameters().items())
        self._stranger = type(optimizer).__name__ if used else self._stranger
        if tensor := next((name for name, weight in weights if weight in used), None):
            raise RecorderError.unwatched_optimizer(optimizer=self._stranger, tensor=tensor, step=step)

    def _mark(self, watched: WatchedModel) -> None:
        if watched.opened and watched not in self._marks:
            weights = list(watched.trained_weights().values())
            self._marks[watched] = dict(zip(weights, watched.norms(weights), strict=True))

    def _leave(self, optimizer: Optimizer) -> int:
        """Forget an optimizer's step, and those that began within it; return the number of steps before it."""
        place = next((i for i, (other, _) in enumerate(self._running) if other is optimizer), len(self._running))
        steps = self._running[place][1] if place < len(self._running) else self._steps
        del self._running[place:]
        return steps
