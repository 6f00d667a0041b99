"""How the weights of each tensor are distributed before the training and after it."""

from matplotlib.figure import Figure

from harness.figures.distributions import distributions
from harness.record import Record


__all__ = ["weight_distributions"]


def weight_distributions(record: Record, *, labelled: bool = False) -> Figure:
    """Draw a row a tensor: how its elements are distributed initially (grey) and at the end (blue line).

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
    title = f"Weights, {record.name}, {record.device}"
    return distributions(record, "weight", "weight_distributions", title, labelled)
