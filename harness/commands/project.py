"""Where a command works: the project and what its last sessions left."""

import argparse
from pathlib import Path

from harness.errors import NothingFailedError


__all__ = ["add_root", "failed_results", "project_root"]

_OUTPUT = Path("build", "harness")


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option --root."""
    parser.add_argument(
        "--root", metavar="DIR", type=Path, help="pytest's root of the project; default: here, or the nearest above"
    )


def project_root(root: Path | None) -> Path:
    """Return the project's root: as given, or the nearest folder, here or above, in which the gate has run."""
    here = Path.cwd()
    return root or next((folder for folder in (here, *here.parents) if (folder / _OUTPUT).is_dir()), here)


def failed_results(root: Path) -> Path:
    """Return the folder of the results that differ from their baselines.

    Raises:
        NothingFailedError: there is none.
    """
    folder = root / _OUTPUT / "failed"
    if not any(folder.glob("*.candidate")):
        raise NothingFailedError(place=folder)
    return folder
