"""Take apart what frameworks hand out: batches of any form, and metrics among which there are timings."""

from collections.abc import Collection, Mapping

from torch import Tensor


_LABELS = ("labels", "label", "targets", "target", "y")


def images_and_labels(batch: object) -> tuple[object, object]:
    """Return images and labels of a pair, or of a mapping or an object that names them; anything else is all images."""
    if not isinstance(batch, Mapping | list | tuple | Tensor) and hasattr(batch, "__dict__"):  # a dataclass, say
        batch = vars(batch)
    if isinstance(batch, Mapping):
        label = next((name for name in _LABELS if name in batch), None)
        return {name: value for name, value in batch.items() if name != label}, batch.get(label)
    if isinstance(batch, list | tuple) and len(batch) == 2:
        return batch[0], batch[1]
    return batch, None


def numbers_in(metrics: Mapping[str, object], ignore: Collection[str]) -> dict[str, object]:
    """Return the numbers and tensors among named values, without the names that are to be ignored."""
    return {
        name: value
        for name, value in metrics.items()
        if name not in ignore and (isinstance(value, Tensor | int | float) or hasattr(value, "__array__"))
    }
