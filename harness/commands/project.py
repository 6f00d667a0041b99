"""Where a command works: the project, its baselines, and what its last sessions left."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from harness.baselines.inventory import Stored, inventory
from harness.errors import AcceptError, NotFoundError


_OUTPUT = Path("build", "harness")


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option --root."""
    parser.add_argument(
        "--root", metavar="DIR", type=Path, help="pytest's root of the project; default: here, or the nearest above"
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options --root and --baselines."""
    add_root(parser)
    parser.add_argument(
        "--baselines", metavar="DIR", type=Path, help="folder of the baselines; default: that of the last session"
    )


def project_root(root: Path | None) -> Path:
    """Return the project's root: as given, or the nearest folder, here or above, in which the gate has run."""
    here = Path.cwd()
    return root or next((folder for folder in (here, *here.parents) if (folder / _OUTPUT).is_dir()), here)


def failed_results(root: Path) -> Path:
    """Return the folder of the results that differ from their baselines; AcceptError if there is none."""
    folder = root / _OUTPUT / "failed"
    if not any(folder.glob("*.candidate")):
        raise AcceptError.nothing_failed(place=folder)
    return folder


def baselines(given: argparse.Namespace) -> Path:
    """Return the folder of the baselines: as given, or that of the last session, or the default."""
    root = project_root(given.root)
    folder: Path = given.baselines or root / str(_last_session(root).get("baselines", "baselines"))
    try:
        folder.is_dir()
    except (OSError, ValueError) as error:  # no folder can have such a name
        raise NotFoundError.baseline(name=folder.name, place=error) from error
    return Path(os.path.relpath(folder))


def last_results(given: argparse.Namespace) -> Path:
    """Return the folder of what the last session left."""
    return Path(os.path.relpath(project_root(given.root) / _OUTPUT))


def last_orphans(given: argparse.Namespace) -> list[str] | None:
    """Return the files that no test claimed in the last session, or None if it did not see all tests."""
    found = _last_session(project_root(given.root)).get("orphans")
    return [str(name) for name in found] if isinstance(found, list) else None


def _last_session(root: Path) -> dict[str, Any]:
    try:
        content = json.loads((root / _OUTPUT / "session.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def stored(given: argparse.Namespace, name: str) -> list[Stored]:
    """Return the baselines of a name: a record, a figure or both; NotFoundError if there is none."""
    folder = baselines(given)
    if found := [entry for entry in inventory(folder) if name in (entry.name, entry.path.name)]:
        return found
    raise NotFoundError.baseline(name=name, place=folder)
