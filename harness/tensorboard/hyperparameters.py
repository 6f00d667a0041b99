"""A record in TensorBoard's table of runs: the recipe, and what the training came to."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.recipe import Recipe
from harness.record import Record
from harness.tensorboard.scalars import Scalars


if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

__all__ = ["hyperparameters"]


def hyperparameters(record: Record, scalars: Scalars) -> Iterator["Summary"]:
    """Yield the summaries that make a run a line of the table, within the run itself (`add_hparams` opens another one).

    The columns are those of the first run that TensorBoard finds, so every run names all fields of a recipe.

    Args:
        record: the training.
        scalars: its scalars: those logged in training and evaluation, without lists, are the metrics.
    """
    from torch.utils.tensorboard.summary import hparams

    logged = [name for name, stream in record.streams.items() if stream.stage in ("forward", "evaluation")]
    metrics = [tag for tag in scalars if tag.removeprefix("training/") in logged and not tag.endswith("]")]
    own = {"name": record.name, "precision": record.precision, "seed": record.seed, "device": record.device}
    columns, _, _ = hparams(_plain({**own, **Recipe().to_dict(), **record.recipe}), dict.fromkeys(metrics, 0.0))
    _, start, end = hparams(_plain({**record.recipe, **own}), {})
    yield from (columns, start, end)


def _plain(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields as texts and numbers; torch leaves out what is None."""
    return {name: value if isinstance(value, int | float | None) else str(value) for name, value in fields.items()}
