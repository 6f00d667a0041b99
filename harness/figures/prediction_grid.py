"""Test images with what the trained model made of them: right ones framed blue, wrong ones orange and crossed."""

from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from harness.figures.canvas import BLUE, ORANGE
from harness.figures.classes import class_name
from harness.figures.sheet import image_of, labelled_sheet, picture_of, sheet
from harness.record import Record


__all__ = ["prediction_grid"]

_REMEDY = "call recorder.keep_predictions(images, labels, predicted) after the last evaluation"


def prediction_grid(record: Record, *, labelled: bool = False) -> Figure:
    """Draw up to ten test images in rows of five, right and wrong marked by colour and, for the wrong, a corner.

    Args:
        record: a finished training that evaluated.
        labelled: with title, true and predicted class, for people; without, for pytest-mpl.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        NoPictureError: the record holds no predictions.
    """
    picture = picture_of(record, "predictions", "prediction_grid", _REMEDY)
    pairs = list(zip(picture.labels, picture.predicted, strict=True))
    right = [true == predicted for true, predicted in pairs]
    images = [image_of(picture, index) for index in range(len(pairs))]
    images = [image if ok else _with_corner(image) for image, ok in zip(images, right, strict=True)]
    colours = [BLUE if ok else ORANGE for ok in right]
    if not labelled:
        return sheet(images, colours)
    named = [(class_name(record, true), class_name(record, predicted)) for true, predicted in pairs]
    captions = [
        f"{true}\nright" if true == predicted else f"{true}\ntaken for\n{predicted}" for true, predicted in named
    ]
    return labelled_sheet(images, colours, captions, f"Predictions, {record.name}")


def _with_corner(image: Image.Image) -> Image.Image:
    """Fill the upper right corner: colour alone does not reach everyone."""
    side = image.width // 4
    ImageDraw.Draw(image).rectangle((image.width - side, 0, image.width, side), fill=ORANGE)
    return image
