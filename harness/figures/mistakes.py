"""The test images that the trained model was surest about, and wrong."""

from matplotlib.figure import Figure

from harness.figures.canvas import ORANGE
from harness.figures.classes import class_name
from harness.figures.sheet import image_of, labelled_sheet, picture_of, sheet
from harness.record import Record


__all__ = ["mistakes"]

_REMEDY = "call recorder.keep_predictions(images, labels, predicted, confidence=...) after the last evaluation"


def mistakes(record: Record, *, labelled: bool = False) -> Figure:
    """Draw the wrongly classified test images of highest confidence, the surest first, as one raster.

    Args:
        record: a finished training that evaluated.
        labelled: with title, true and predicted class and confidence, for people; without, for pytest-mpl.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        NoPictureError: the record holds no mistakes: no confidences were given, or every image was right.
    """
    picture = picture_of(record, "mistakes", "mistakes", _REMEDY)
    images = [image_of(picture, index) for index in range(picture.shape[0])]
    colours = [ORANGE] * len(images)
    if not labelled:
        return sheet(images, colours)
    found = zip(picture.labels, picture.predicted, picture.confidence, strict=True)
    captions = [
        f"{class_name(record, true)}\ntaken for\n{class_name(record, predicted)}\n{confidence:.1%} sure"
        for true, predicted, confidence in found
    ]
    return labelled_sheet(images, colours, captions, f"Most-confident mistakes, {record.name}")
