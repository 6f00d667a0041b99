"""What pytest-mpl found of a figure, as a result."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.plugin.checked import regenerate_command
from harness.plugin.outcome import check_of
from harness.plugin.session import Session


if TYPE_CHECKING:
    from harness.results import Result

__all__ = ["figure_outcome", "figure_rms"]


def figure_outcome(
    item: pytest.Item, session: Session, folder: Path, *, tolerance: float, passed: bool, text: str
) -> "Result":
    """Return the result of a figure test.

    Args:
        item: the test.
        session: the session's state.
        folder: of the figure's pictures.
        tolerance: RMS in grey levels that passes.
        passed: whether it did.
        text: what a person is told.
    """
    from harness.results import error_result, figure_result

    check = check_of(item, "", regenerate_command(item, session))
    if not (passed or all(path.exists() for path in _pictures(folder))):  # no baseline, or another format than PNG
        return error_result(check, text)
    baseline, result = _pictures(folder)
    return figure_result(
        check,
        rms=figure_rms(folder),
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


def _pictures(folder: Path) -> tuple[Path, Path]:
    return folder / "baseline.png", folder / "result.png"
