"""The first images that went into the model, augmented as they went in."""

from matplotlib.figure import Figure

from harness.figures.classes import class_name
from harness.figures.sheet import image_of, labelled_sheet, picture_of, sheet
from harness.record import Record


__all__ = ["batch_grid"]

_REMEDY = "call recorder.batch(images, labels) with images of at most 64x64 pixels and 1 or 3 channels"


def batch_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten images of the first batch in rows of five, as one raster at exact pixel size.

    Args:
        record: a finished training.
        labelled: with title and captions, for people; without, for pytest-mpl.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        NoPictureError: the record holds no images.
    """
    picture = picture_of(record, "batch", "batch_grid", _REMEDY)
    images = [image_of(picture, index) for index in range(picture.shape[0])]
    colours = ["white"] * len(images)
    if not labelled:
        return sheet(images, colours)
    captions = [class_name(record, label) for label in picture.labels] or [f"image {i}" for i in range(len(images))]
    return labelled_sheet(images, colours, captions, f"First batch, {record.name}")
