"""The distributions that a record holds, as TensorBoard histograms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.record import HISTOGRAM_BINS, Record


if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

__all__ = ["histograms_of"]


def histograms_of(record: Record) -> Iterator[tuple[int, "Summary"]]:
    """Yield step and histogram of each distribution: `weight/TENSOR` is tagged "weight_histogram/TENSOR".

    A tag of TensorBoard is of one kind in a run, and the norms of the same tensors are scalars.
    """
    from torch.utils.tensorboard.summary import histogram_raw

    for name, histogram in record.histograms.items():
        kind, _, tensor = name.partition("/")
        for step, (low, high), counts in zip(histogram.steps, histogram.limits, histogram.counts, strict=True):
            width = (high - low) / HISTOGRAM_BINS
            ends = [low + width * (i + 1) for i in range(HISTOGRAM_BINS - 1)] + [high]
            centres = [end - width / 2 for end in ends]
            yield (
                step,
                histogram_raw(
                    f"{kind}_histogram/{tensor}",
                    min=low,
                    max=high,
                    num=sum(counts),
                    sum=sum(count * centre for count, centre in zip(counts, centres, strict=True)),
                    sum_squares=sum(count * centre**2 for count, centre in zip(counts, centres, strict=True)),
                    bucket_limits=ends,
                    bucket_counts=counts,
                ),
            )
