"""Environment, recipe and structure as Markdown tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.record import Record


if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

__all__ = ["tables_of"]


def tables_of(record: Record) -> Iterator["Summary"]:
    """Yield a text each on the environment, the recipe (or what is known of a watched loop) and the tensors."""
    from torch.utils.tensorboard.summary import text

    known = {"name": record.name, "precision": record.precision, "seed": record.seed, "device": record.device}
    data = {f"data {name}": value for name, value in record.data.items()}
    yield text("environment", _table(("what", "version"), record.environment.items()))
    yield text("recipe", _table(("field", "value"), {**known, **record.recipe, **data}.items()))
    if record.structure:
        yield text("structure", _table(("tensor", "shape", "dtype", "trained", "group"), _tensors(record.structure)))


def _tensors(structure: Mapping[str, Mapping[str, object]]) -> Iterator[Sequence[object]]:
    for name, entry in structure.items():
        yield name, *(entry.get(key) for key in ("shape", "dtype", "requires_grad", "group"))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", r"\|").replace("\n", " ")
