"""Pictures of what failed: how far a training is from its baseline, a film of it, and figures for the page."""

import io
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.baselines.files import write
from harness.errors import RecordError
from harness.report.finding import Finding


if TYPE_CHECKING:
    from harness.comparing.comparison import Comparison


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
    for name, data in pictures.items():
        write(folder / name, data)
    return [folder / name for name in pictures]


def forget(folder: Path) -> None:
    """Remove the pictures that an earlier session drew."""
    shutil.rmtree(folder, ignore_errors=True)


def _film(comparison: "Comparison") -> dict[str, bytes]:
    from harness import figures

    try:
        return {_FILM: figures.film(comparison.record, comparison.baseline.record)}
    except RecordError:  # event files hold no gradients, and NaN cannot be drawn
        return {}


_LARGEST = 2**20
"""Bytes; a larger figure would swell the page, and is left in its folder."""


def failed_figures(findings: Iterable[Finding], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of figures that failed: path, as findings name it, and bytes.

    Args:
        findings: of a session.
        folder: of these findings, which the paths of pictures are relative to.
    """
    for finding in findings:
        if finding.figure and not finding.passed:
            for name in (finding.figure.baseline, finding.figure.result):
                if data := _picture(folder / name):
                    yield name, data


def _picture(path: Path) -> bytes:
    """Return a picture's bytes; none if it is gone, too large or cannot be read: the page has its numbers."""
    try:
        small = path.suffix == ".png" and path.is_file() and path.stat().st_size <= _LARGEST
        return path.read_bytes() if small else b""
    except OSError:
        return b""
