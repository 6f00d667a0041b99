"""Faults in models of sequences: what attention may see, where a token stands, and which one it is to predict."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.faults.base import Fault
from harness.faults.calls import ArgumentFault
from harness.faults.data import DataFault
from harness.faults.patching import Function
from harness.recording.fingerprints import tensors_in


_HIDDEN = -5e3
"""Scores that a mask has made so low are hidden; no model reaches that by itself, and BERT's masks add -10,000."""


class PositionsShifted(ArgumentFault):
    """Positions that are looked up in an embedding are one too high."""

    reason = "no call of torch.nn.functional.embedding looks up positions one after the other from the first on"
    functions = (functional.embedding,)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        numbers, table = arguments["input"], arguments["weight"]
        return {"input": (numbers + 1).clamp(max=len(table) - 1)} if _are_positions(numbers) else {}


def _are_positions(numbers: Tensor) -> bool:
    """Tell whether each row counts up from 0, or from the 1 or 2 of models that keep room for padding."""
    if not numbers.ndim or numbers.shape[-1] < 3:
        return False
    first = int(numbers.flatten()[0])
    ascending = torch.arange(first, first + numbers.shape[-1], device=numbers.device)
    return 0 <= first <= 2 and bool((numbers == ascending).all())


class AttentionMaskDropped(Fault):
    """Attention sees what its mask hides."""

    reason = "no call of torch's scaled_dot_product_attention or softmax hides anything"

    def begin(self) -> None:
        self.swap_functions((functional.scaled_dot_product_attention,), self._attend)
        self.swap_functions((torch.softmax,), self._softmax)
        self.swap_method(Tensor, "softmax", self._softmax)  # which torch.nn.functional.softmax calls

    def _attend(
        self,
        function: Function,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Any:
        revealed = None if attn_mask is None else _revealed(attn_mask)
        causal = is_causal and key.shape[-2] > 1
        self.planted = self.planted or causal or revealed is not None
        return function(query, key, value, attn_mask if revealed is None else revealed, dropout_p, **options)

    def _softmax(self, function: Function, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        revealed = _revealed(input)
        self.planted = self.planted or revealed is not None
        return function(input if revealed is None else revealed, *args, **kwargs)


def _revealed(mask: Tensor) -> Tensor | None:
    """Return a mask, or scores that one was put on, with nothing hidden; None if nothing is, or all."""
    hidden, seen = (~mask, True) if mask.dtype == torch.bool else (mask <= _HIDDEN, 0)
    return mask.masked_fill(hidden, seen) if hidden.any() and not hidden.all() else None


class LabelsNotShifted(DataFault, ArgumentFault):
    """Each token of one batch is to predict itself, not the one after it."""

    reason = "neither the labels of a batch nor a target of cross_entropy or nll_loss is its tokens, moved by one"
    functions = (functional.cross_entropy, functional.nll_loss)

    def begin(self) -> None:
        super().begin()
        self._tokens: list[Tensor] = []

    def batch(self, images: object, labels: object) -> None:
        self._tokens = [*filter(_are_integers, (*tensors_in(images), *tensors_in(labels)))]
        super().batch(images, labels)

    def change(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        for tokens, target in itertools.product(filter(_are_integers, images), filter(_are_integers, labels[:1])):
            shared = tokens.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()
            unshifted = None if shared else _unshifted(target, tokens)  # views of one text would both change
            if unshifted is not None:
                self.overwrite(target, unshifted)

    def changed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        target, logits = arguments["target"], arguments["input"]
        tokens = self._tokens if self.due and _are_integers(target) else []
        found = (_unshifted(target, each, arguments["ignore_index"]) for each in tokens)
        unshifted = next((each for each in found if each is not None), None)
        known = unshifted is not None and unshifted.max() < logits.shape[min(1, logits.ndim - 1)]
        return {"target": unshifted} if known else {}


def _are_integers(tensor: Tensor) -> bool:
    return bool(tensor.ndim and not tensor.is_floating_point() and not tensor.is_complex())


def _unshifted(target: Tensor, tokens: Tensor, ignored: int = -100) -> Tensor | None:
    """Return a target that is the tokens themselves, for one that is the tokens moved by one; None for any other.

    Args:
        target: of any shape: a number a token, or a number a token but for the last of each sequence.
        tokens: integers; sequences are rows or columns.
        ignored: a target that does not count, and stays.
    """
    for axis in {0, tokens.ndim - 1}:
        length = tokens.shape[axis] - 1
        for present in (tokens, tokens.narrow(axis, 0, max(length, 0))):
            if length > 0 and present.numel() == target.numel():
                given, present = target.reshape(present.shape), present.to(target)
                ahead, after = given.narrow(axis, 0, length), tokens.narrow(axis, 1, length).to(target)
                is_after = bool((ahead != ignored).any()) and bool(((ahead == after) | (ahead == ignored)).all())
                unshifted = torch.where(given == ignored, given, present).reshape(target.shape)
                if is_after and not torch.equal(unshifted, target):
                    return unshifted
    return None
