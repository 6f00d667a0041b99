"""Where a command works: the project, its baselines, and what its last sessions left."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from harness.atomic_files import read
from harness.baselines.failed import Project
from harness.baselines.folder import stated_folder
from harness.baselines.inventory import Stored, inventory
from harness.errors import AcceptError, NotFoundError


OUTPUT = Path("build", "harness")
"""What sessions leave, below the root; it may be an artifact from anywhere."""


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option --root."""
    parser.add_argument(
        "--root", metavar="DIR", type=Path, help="pytest's root of the project; default: here, or the nearest above"
    )


def add_places(parser: argparse.ArgumentParser, default: str = "that of the last session") -> None:
    """Add the options --root and --baselines."""
    add_root(parser)
    parser.add_argument("--baselines", metavar="DIR", type=Path, help=f"folder of the baselines; default: {default}")


def project_root(root: Path | None) -> Path:
    """Return the project's root: as given, or the nearest folder, here or above, in which the gate has run."""
    here = Path.cwd()
    return root or next((folder for folder in (here, *here.parents) if (folder / OUTPUT).is_dir()), here)


def project(given: argparse.Namespace) -> Project:
    """Return where baselines may be written: in the folder that is given, or that the project's ini file names.

    What the last session says of it does not count: `build/harness` may be an artifact from anywhere.

    Raises:
        NotFoundError: the ini file cannot be read.
    """
    root = project_root(given.root)
    return Project(root, given.baselines or stated_folder(root))


def failed_results(root: Path) -> Path:
    """Return the folder of the results that differ from their baselines; AcceptError if there is none."""
    folder = root / OUTPUT / "failed"
    if not any(folder.glob("*.candidate")):
        raise AcceptError.nothing_failed(place=folder)
    return folder


def baselines(given: argparse.Namespace) -> Path:
    """Return the folder of the baselines: as given, or that of the last session, or the default."""
    root = project_root(given.root)
    last = _last_session(root).get("baselines")
    folder: Path = given.baselines or (stated_folder(root) if last is None else root / str(last))
    try:
        folder.is_dir()
    except (OSError, ValueError) as error:  # no folder can have such a name
        raise NotFoundError.baseline(name=folder.name, place=error) from error
    return Path(os.path.relpath(folder))


def last_results(given: argparse.Namespace) -> Path:
    """Return the folder of what the last session left."""
    return Path(os.path.relpath(project_root(given.root) / OUTPUT))


def last_orphans(given: argparse.Namespace) -> list[str] | None:
    """Return the files that no test claimed in the last session, or None if it did not see all tests."""
    found = _last_session(project_root(given.root)).get("orphans")
    return [str(name) for name in found] if isinstance(found, list) else None


def _last_session(root: Path) -> dict[str, Any]:
    try:
        content = json.loads(read(root / OUTPUT / "session.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def stored(given: argparse.Namespace, name: str) -> list[Stored]:
    """Return the baselines of a name: a record, a figure or both; NotFoundError if there is none."""
    folder = baselines(given)
    if found := [entry for entry in inventory(folder) if name in (entry.name, entry.path.name)]:
        return found
    raise NotFoundError.baseline(name=name, place=folder)
