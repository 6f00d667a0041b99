"""Pictures of a training that failed: how far it is from its baseline, and a film of it."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecordError
from harness.files import write


if TYPE_CHECKING:
    from harness.comparison import Comparison

__all__ = ["draw", "forget"]

_DEVIATIONS, _FILM = "deviations.png", "film.gif"


def draw(comparison: "Comparison", folder: Path) -> list[Path]:
    """Draw the deviations of a training from its baseline, and the film of it if it has one; return the files.

    Args:
        comparison: of the two.
        folder: of these pictures alone.

    Raises:
        OSError: it cannot be written to.
    """
    pictures = dict(_pictures(comparison))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        write(folder / name, data)
    return [folder / name for name in pictures]


def forget(folder: Path) -> None:
    """Remove the pictures that an earlier session drew."""
    shutil.rmtree(folder, ignore_errors=True)


def _pictures(comparison: "Comparison") -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    from harness import figures
    from harness.figures.canvas import pixels_of

    file = io.BytesIO()
    Image.fromarray(pixels_of(figures.deviations(comparison, labelled=True))).save(file, "PNG")
    yield _DEVIATIONS, file.getvalue()
    try:
        yield _FILM, figures.film(comparison.record, comparison.baseline)
    except RecordError:  # event files hold no gradients, and NaN cannot be drawn
        return
