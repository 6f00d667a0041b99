"""Image grids, pixel for pixel, and the labelled twin of every figure."""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image

from harness.errors import RecordError
from harness.record.pictures import PICTURE_IMAGES, Picture
from harness.record.record import Record


def grids_of(record: Record) -> Iterator[Summary]:
    """Yield each of a record's pictures as a grid."""
    for name, picture in record.pictures.items():
        yield image(f"images/{name}", grid(picture), dataformats="HWC")


def grid(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture's images beside each other, five a row (more than ten: eight), with a white pixel around each.

    Returns:
        Pixels of shape (height, width, 3).
    """
    count, height, width = picture.shape
    columns = 5 if count <= PICTURE_IMAGES else 8
    rows = -(-count // columns)
    tiles_NHWC = np.full((rows * columns, height + 2, width + 2, 3), 255, np.uint8)
    tiles_NHWC[:count, 1:-1, 1:-1] = np.frombuffer(picture.pixels, np.uint8).reshape(count, height, width, 3)
    page = tiles_NHWC.reshape(rows, columns, height + 2, width + 2, 3).transpose(0, 2, 1, 3, 4)
    return page.reshape(rows * (height + 2), columns * (width + 2), 3)


def figures_of(record: Record) -> Iterator[Summary]:
    """Yield each labelled figure that the record has the numbers for: one with NaN or without pictures has others."""
    from harness import figures  # here: most runs draw none, and importing Matplotlib takes half a second
    from harness.figures.canvas import pixels_of

    for name in figures.OF_A_RECORD:
        try:
            figure = getattr(figures, name)(record, labelled=True)
        except RecordError:
            continue
        yield image(f"figures/{name}", pixels_of(figure), dataformats="HWC")


def file_of(tag: str, data: bytes) -> Summary:
    """Return a PNG file as it is."""
    width, height = Image.open(io.BytesIO(data)).size
    shown = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)  # 3: RGB
    return Summary(value=[Summary.Value(tag=tag, image=shown)])
