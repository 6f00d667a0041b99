"""What a training did, as numbers: streams, pictures, environment, and their text form. No torch, no pickle."""

from harness.record.baseline import Baseline
from harness.record.calibration import Calibration
from harness.record.pictures import HISTOGRAM_BINS, PICTURE_IMAGES, PICTURE_SIDE, Histogram, Picture
from harness.record.record import Record
from harness.record.streams import KINDS, STAGES, Part, Stream, StreamKey, Streams, Value
from harness.record.world import World


__all__ = [
    "HISTOGRAM_BINS",
    "KINDS",
    "PICTURE_IMAGES",
    "PICTURE_SIDE",
    "STAGES",
    "Baseline",
    "Calibration",
    "Histogram",
    "Part",
    "Picture",
    "Record",
    "Stream",
    "StreamKey",
    "Streams",
    "Value",
    "World",
]
