"""What pytest-mpl found of a figure, as a result."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BaselineWriteError, HarnessError, OutputWriteError
from harness.plugin.session import Session


if TYPE_CHECKING:
    from harness.results import Check, Result

__all__ = ["draw_sheet", "figure_outcome", "figure_rms", "unwritten"]


def figure_outcome(
    check: "Check", session: Session, folder: Path, *, rms: float | None, tolerance: float, passed: bool, text: str
) -> "Result":
    """Return the result of a figure test.

    Args:
        check: what is the same in every result of it.
        session: the session's state.
        folder: of the figure's pictures.
        rms: as `figure_rms` returns it.
        tolerance: RMS in grey levels that passes.
        passed: whether it did.
        text: what a person is told.
    """
    from harness.results import error_result, figure_result

    if not (passed or all(path.exists() for path in _pictures(folder))):  # no baseline, or another format than PNG
        return error_result(check, text)
    baseline, result = _pictures(folder)
    return figure_result(
        check,
        rms=rms,
        tolerance=tolerance,
        baseline=os.path.relpath(baseline, session.output),
        result=os.path.relpath(result, session.output),
        passed=passed,
        text=text,
    )


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


def unwritten(error: OSError, session: Session, place: Path) -> HarnessError:
    """Return the error that says that a figure could not be saved.

    Args:
        error: the system's.
        session: the session's state; it writes baselines or compares.
        place: the baseline's file, or the folder of the figure's pictures.
    """
    kind = BaselineWriteError if session.generate_path else OutputWriteError
    return kind(path=session.shown(place), reason=error.strerror or error)
