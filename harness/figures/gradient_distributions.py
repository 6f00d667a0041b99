"""How the gradients of each tensor are distributed at the first step and the last."""

from matplotlib.figure import Figure

from harness.figures.distributions import distributions
from harness.record import Record


__all__ = ["gradient_distributions"]


def gradient_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a row a tensor: how its gradient is distributed at the first step (grey) and at the last (blue line).

    Each row goes from the smallest to the largest element of its tensor, with zero dotted, and each distribution is
    scaled to its highest bin. Tensors of fewer than 32 elements have none.

    Args:
        record: a finished training.
        labelled: with the tensors' names and the ends of their rows, for people; without, for pytest-mpl.

    Returns:
        A figure 640 pixels wide (labelled: 800) and as high as its rows, unknown to pyplot.

    Raises:
        NoPictureError: the record holds no histograms.
    """
    title = f"Gradients, {record.name}, {record.device}"
    return distributions(record, "gradient", "gradient_distributions", title, labelled)
