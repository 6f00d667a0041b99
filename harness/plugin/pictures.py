"""Pictures of a training that failed: how far it is from its baseline, and a film of it."""

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecordError
from harness.files import write


if TYPE_CHECKING:
    from harness.comparison import Comparison

__all__ = ["deviations", "forget", "keep"]

_DEVIATIONS, _FILM = "deviations.png", "film.gif"


def deviations(comparison: "Comparison") -> bytes:
    """Draw how far a training is from its baseline; return a PNG file."""
    from PIL import Image

    from harness import figures
    from harness.figures.canvas import pixels_of

    file = io.BytesIO()
    Image.fromarray(pixels_of(figures.deviations(comparison, labelled=True))).save(file, "PNG")
    return file.getvalue()


def keep(comparison: "Comparison", drawn: bytes, folder: Path) -> list[Path]:
    """Keep the picture of a training's deviations, and draw the film of it if it has one; return the files.

    Args:
        comparison: of the training with its baseline.
        drawn: its deviations, as a PNG file.
        folder: of these pictures alone.

    Raises:
        OSError: it cannot be written to.
    """
    pictures = {_DEVIATIONS: drawn, **_film(comparison)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        write(folder / name, data)
    return [folder / name for name in pictures]


def forget(folder: Path) -> None:
    """Remove the pictures that an earlier session drew."""
    shutil.rmtree(folder, ignore_errors=True)


def _film(comparison: "Comparison") -> dict[str, bytes]:
    from harness import figures

    try:
        return {_FILM: figures.film(comparison.record, comparison.baseline)}
    except RecordError:  # event files hold no gradients, and NaN cannot be drawn
        return {}
