"""A figure that was compared: how far its picture is from the baseline's, in grey levels, in words, and as a sheet."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.baselines import png
from harness.report.finding import Figure, Finding, Number, plain


if TYPE_CHECKING:
    from harness.report.check import Check


LABELLED = ("baseline-labelled.png", "result-labelled.png")
"""Names of the pictures that show with axes what was compared, if there are any."""


def compared_figure(
    check: "Check", folder: Path, output: Path, tolerance: float, passed: bool, text: str, of: str = ""
) -> Finding:
    """Return what was found of a figure, from the pictures that pytest-mpl left in its folder.

    The paths count from the output; `of` is the test that checks the record that it is drawn of, empty if none does.
    """
    if not (passed or drawn(folder)):
        return check.trouble(text)
    baseline, result = (os.path.relpath(path, output) for path in _pictures(folder))
    labelled = [os.path.relpath(path, output) if (path := folder / name).exists() else "" for name in LABELLED]
    rms = figure_rms(folder)
    figure = Figure(
        rms=None if rms is None else plain(rms),
        tolerance=tolerance,
        baseline=baseline,
        result=result,
        of=of,
        labelled_baseline=labelled[0],
        labelled_result=labelled[1],
    )
    return check.figure(figure, passed=passed, text=text)


def figure_rms(folder: Path) -> float | None:
    """Return the root mean square difference in grey levels, which pytest-mpl leaves out when a figure passes.

    It is None for pictures of different size; 0.0 where there are none, of another format than PNG or a hash library.
    """
    return png.rms(*(path.read_bytes() for path in _pictures(folder))) if drawn(folder) else 0.0


def draw_sheet(folder: Path) -> list[Path]:
    """Draw a figure's baseline, result and difference beside each other; return the file, none without a baseline."""
    from PIL import Image

    from harness.figures import side_by_side

    if not drawn(folder):
        return []
    sheet = folder / "side-by-side.png"
    side_by_side(*map(Image.open, _pictures(folder))).save(sheet)
    return [sheet]


def _pictures(folder: Path) -> tuple[Path, Path]:
    return folder / "baseline.png", folder / "result.png"


def drawn(folder: Path) -> bool:
    """Tell whether both pictures are there: not without a baseline, or in another format than PNG."""
    return all(path.exists() for path in _pictures(folder))


def figure_difference(rms: float | None) -> str:
    """Say how a figure that failed differs from its baseline, by what `figure_rms` returned."""
    return "the figure has another size" if rms is None else f"the figure differs, RMS {rms:.2f}"


def figure_text(rms: Number | None, tolerance: float) -> str:
    """Word how far a figure is from its baseline, by what `figure_rms` returned, and how far it may be."""
    return f"{rms_text(rms)}, tolerance {tolerance:g}"


def rms_text(rms: Number | None) -> str:
    """Word a figure's RMS."""
    return "the sizes differ" if rms is None else f"RMS {float(rms):.2f}"
