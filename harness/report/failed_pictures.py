"""Pictures of what failed: how far a training is from its baseline, a film of it, and figures for the page."""

import contextlib
import io
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.atomic_files import read, write
from harness.baselines import png
from harness.errors import RecordError
from harness.report.figure_text import LABELLED
from harness.report.finding import Finding


if TYPE_CHECKING:
    from PIL import Image

    from harness.comparing.comparison import Comparison


_LARGEST = 2**20
"""Bytes; a larger figure would swell the page, and is left in its folder."""
_MOST = 2 * 2**20
"""Bytes of all, each counted as often as it is shown; the others are left in their folder."""
_COLOURS = 64
"""Of a picture that is drawn for the page alone."""
_THUMBNAIL = (96, 54)
"""Pixels of its width and height, at most."""


def deviations(comparison: "Comparison") -> bytes:
    """Draw how far a training is from its baseline; return a PNG file."""
    from PIL import Image

    from harness import figures
    from harness.figures.canvas import pixels_of

    return _png(Image.fromarray(pixels_of(figures.deviations(comparison, labelled=True))), optimize=False)


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


def draw_twins(gated: object, record: object, baseline: object, folder: Path) -> None:
    """Draw what a gated figure shows with its axes, of the baseline's record if known and of the present one.

    Nothing is drawn where one of them lacks what the other has, or the figure is none of ours.
    """
    from PIL import Image

    from harness.figures.canvas import pixels_of, twin

    with contextlib.suppress(RecordError):
        sides = zip(LABELLED, (baseline, record), strict=True)
        named = {name: one for name, one in sides if baseline or name == LABELLED[1]}
        figures = [figure for one in named.values() if (figure := twin(gated, record, one))]
        pictures = [Image.fromarray(pixels_of(figure)) for figure in figures]
        for name, picture in zip(named, _few_colours(pictures), strict=True) if pictures else ():
            write(folder / name, _png(picture))


def _few_colours(pictures: "Sequence[Image.Image]") -> "Iterator[Image.Image]":
    """Yield pictures in few colours, the same for all: so that equal parts stay equal."""
    from PIL import Image

    sheet = Image.new("RGB", (max(each.width for each in pictures), sum(each.height for each in pictures)))
    tops = [sum(each.height for each in pictures[:index]) for index in range(len(pictures))]
    for picture, top in zip(pictures, tops, strict=True):
        sheet.paste(picture, (0, top))
    sheet = sheet.quantize(_COLOURS, dither=Image.Dither.NONE)
    yield from (sheet.crop((0, top, one.width, top + one.height)) for one, top in zip(pictures, tops, strict=True))


def _png(image: "Image.Image", *, optimize: bool = True) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=optimize)
    return file.getvalue()


def shown(findings: Sequence[Finding], folder: Path) -> dict[str, bytes]:
    """Return the pictures that a page shows: path, relative to the findings' folder as they name it, and bytes.

    Of a figure that failed these are both, with and without axes; of one that passed, its result, as a thumbnail.
    """
    whole = Counter(name for finding in findings if not finding.passed for name in _named(finding))
    small = Counter(name for finding in findings if finding.passed for name in _named(finding)[-1:])
    pictures: dict[str, bytes] = {}
    room = _MOST
    for name, times in (whole + small).items():
        data = _picture(folder, name) if name in whole else thumbnail(_picture(folder, name))
        room -= times * len(data)
        if data and room >= 0:
            pictures[name] = data
    return pictures


def _named(finding: Finding) -> list[str]:
    return [name for form in (finding.figure.forms if finding.figure else ()) for name in form if name]


def thumbnail(data: bytes) -> bytes:
    """Return a picture small enough for a card, a whole number of pixels as one; none of what is no picture."""
    from PIL import Image

    try:
        png.check(data)
    except ValueError:
        return b""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    small = image.reduce(max(-(-side // most) for side, most in zip(image.size, _THUMBNAIL, strict=True)))
    return _png(small.quantize(_COLOURS, dither=Image.Dither.NONE))


def _picture(folder: Path, name: str) -> bytes:
    """Return a picture's bytes; none if it is gone, too large or cannot be read: the page has its numbers."""
    path = folder / name
    try:
        return read(path, _LARGEST) if path.suffix == ".png" and path.exists() else b""
    except (OSError, ValueError):  # a name that no file can have
        return b""
