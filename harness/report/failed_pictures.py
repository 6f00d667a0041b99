"""Pictures of what failed: how far a training is from its baseline, a film of it, and figures for the page."""

import contextlib
import io
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.atomic_files import read, write
from harness.errors import RecordError
from harness.report.finding import Finding


if TYPE_CHECKING:
    from harness.comparing.comparison import Comparison


_LARGEST = 2**20
"""Bytes; a larger figure would swell the page, and is left in its folder."""
_MOST = 64 * 2**20
"""Bytes of all, each counted as often as it is shown: what no browser opens needs no more of them."""


def deviations(comparison: "Comparison") -> bytes:
    """Draw how far a training is from its baseline; return a PNG file."""
    from PIL import Image

    from harness import figures
    from harness.figures.canvas import pixels_of

    file = io.BytesIO()
    Image.fromarray(pixels_of(figures.deviations(comparison, labelled=True))).save(file, "PNG")
    return file.getvalue()


def keep(comparison: "Comparison", drawn: bytes, folder: Path) -> list[Path]:
    """Keep a training's deviations, drawn as PNG, and a film if it has one, in their own folder; return the files."""
    from harness import figures

    pictures = {"deviations.png": drawn}
    with contextlib.suppress(RecordError):  # event files hold no gradients, and NaN cannot be drawn
        pictures["film.gif"] = figures.film(comparison.record, comparison.baseline.record)
    for name, data in pictures.items():
        write(folder / name, data)
    return [folder / name for name in pictures]


def forget(folder: Path) -> None:
    """Remove the pictures that an earlier session drew."""
    shutil.rmtree(folder, ignore_errors=True)


def failed_figures(findings: Iterable[Finding], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of figures that failed: path, relative to the findings' folder as they name it, and bytes."""
    failed = [finding.figure for finding in findings if finding.figure and not finding.passed]
    shown = Counter(path for figure in failed for path in (figure.baseline, figure.result))
    room = _MOST
    for name, times in shown.items():
        data = _picture(folder, name)
        room -= times * len(data)
        if data and room >= 0:
            yield name, data


def _picture(folder: Path, name: str) -> bytes:
    """Return a picture's bytes; none if it is gone, too large or cannot be read: the page has its numbers."""
    path = folder / name
    try:
        return read(path, _LARGEST) if path.suffix == ".png" and path.exists() else b""
    except (OSError, ValueError):  # a name that no file can have
        return b""
