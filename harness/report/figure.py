"""A figure that was compared: how far its picture is from the baseline's, in grey levels, in words, and as a sheet."""

import os
from pathlib import Path

from harness.report.check import Check
from harness.report.finding import Figure, Finding


def compared_figure(check: Check, folder: Path, output: Path, tolerance: float, passed: bool, text: str) -> Finding:
    """Return what was found of a figure test.

    Args:
        check: which.
        folder: of the figure's pictures, as pytest-mpl leaves them.
        output: folder of the findings.
        tolerance: RMS in grey levels that passes.
        passed: whether it did.
        text: what a person is told.
    """
    if not (passed or all(path.exists() for path in _pictures(folder))):  # no baseline, or another format than PNG
        return check.trouble(text)
    baseline, result = (os.path.relpath(path, output) for path in _pictures(folder))
    rms = figure_rms(folder)
    return check.figure(rms=rms, tolerance=tolerance, baseline=baseline, result=result, passed=passed, text=text)


def figure_rms(folder: Path) -> float | None:
    """Return the root mean square difference in grey levels, which pytest-mpl leaves out when a figure passes.

    Returns:
        None for pictures of different size; 0.0 where there are none, of another format than PNG or a hash library.
    """
    import numpy as np
    from PIL import Image

    paths = _pictures(folder)
    if not all(path.exists() for path in paths):
        return 0.0
    one, other = (np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) for path in paths)
    return float(np.sqrt(np.mean((one - other) ** 2))) if one.shape == other.shape else None


def draw_sheet(folder: Path) -> list[Path]:
    """Draw a figure's baseline, result and difference beside each other; return the file, none without a baseline.

    Args:
        folder: of the figure's pictures.
    """
    from PIL import Image

    from harness.figures import side_by_side

    paths = _pictures(folder)
    if not all(path.exists() for path in paths):  # or another format than PNG
        return []
    sheet = folder / "side-by-side.png"
    side_by_side(*map(Image.open, paths)).save(sheet)
    return [sheet]


def _pictures(folder: Path) -> tuple[Path, Path]:
    return folder / "baseline.png", folder / "result.png"


def figure_difference(rms: float | None) -> str:
    """Say how a figure that failed differs from its baseline.

    Args:
        rms: root mean square difference in grey levels; None for pictures of different size.
    """
    return "the figure has another size" if rms is None else f"the figure differs, RMS {rms:.2f}"


def figure_text(figure: Figure) -> str:
    """Word how far a figure is from its baseline."""
    return f"{rms_text(figure)}, tolerance {figure.tolerance:g} grey levels"


def rms_text(figure: Figure) -> str:
    """Word a figure's RMS."""
    return "the sizes differ" if figure.rms is None else f"RMS {float(figure.rms):.2f}"
