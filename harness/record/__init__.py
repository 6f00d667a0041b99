"""What a training did, as numbers: streams, pictures, environment, and their text form. No torch, no pickle."""

from harness.record.pictures import HISTOGRAM_BINS, PICTURE_IMAGES, PICTURE_SIDE, Histogram, Picture
from harness.record.record import Record
from harness.record.streams import STAGES, Stream, Value


__all__ = [
    "HISTOGRAM_BINS",
    "PICTURE_IMAGES",
    "PICTURE_SIDE",
    "STAGES",
    "Histogram",
    "Picture",
    "Record",
    "Stream",
    "Value",
]
