"""Where a command works: the project, its baselines, and what its last sessions left."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from harness.atomic_files import read
from harness.baselines.failed import Project
from harness.baselines.folder import is_root, stated_folder
from harness.baselines.inventory import Stored, inventory
from harness.commands.names import called, near
from harness.errors import AcceptError, NotFoundError


_OUTPUT = Path("build", "harness")
"""What sessions leave, below the root; it may be an artifact from anywhere."""


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option --root."""
    parser.add_argument(
        "--root", metavar="DIR", type=Path, help="pytest's root of the project; default: here, or the nearest above"
    )


def add_places(parser: argparse.ArgumentParser, default: str = "that of the last session") -> None:
    """Add the options --root, --baselines and --output."""
    add_root(parser)
    parser.add_argument("--baselines", metavar="DIR", type=Path, help=f"folder of the baselines; default: {default}")
    what = "folder of what sessions left, where pytest had --training-output=DIR"
    parser.add_argument("--output", metavar="DIR", type=Path, help=f"{what}; default: {_OUTPUT}")


def project_root(given: argparse.Namespace) -> Path:
    """Return the project's root: as given, or the nearest folder, here or above, that the gate has run in.

    Where it has run in none, it is the nearest with a configuration of pytest's, or this folder. NotFoundError if the
    one that is given is not there.
    """
    here = Path.cwd()
    folders = (here, *here.parents)
    ran = next((folder for folder in folders if (folder / _OUTPUT).is_dir()), None)
    root: Path = given.root or ran or next(filter(is_root, folders), here)
    if not root.is_dir():
        raise NotFoundError.no_folder(path=root)
    return root


def project(given: argparse.Namespace) -> Project:
    """Return where baselines may be written: in the folder that is given, or that the project's ini file names.

    What the last session says of it does not count: what it left may be an artifact from anywhere.
    """
    root = project_root(given)
    return Project(root, given.baselines or stated_folder(root))


def output(given: argparse.Namespace) -> Path:
    """Return the folder of what sessions left."""
    folder: Path = given.output or project_root(given) / _OUTPUT
    return folder


def failed_results(given: argparse.Namespace) -> Path:
    """Return the folder of the results that differ from their baselines; AcceptError if there is none."""
    folder = output(given) / "failed"
    if not any(folder.glob("*.candidate")):
        raise AcceptError.nothing_failed(place=folder)
    return folder


def baselines(given: argparse.Namespace) -> Path:
    """Return the folder of the baselines: as given, or that of the last session, or the default."""
    root = project_root(given)
    last = _last_session(given).get("baselines")
    folder: Path = given.baselines or (stated_folder(root) if last is None else root / str(last))
    try:
        there = folder.is_dir()
    except (OSError, ValueError) as error:  # no folder can have such a name
        raise NotFoundError.baseline(name=folder.name, place=error) from error
    if given.baselines and not there:
        raise NotFoundError.no_folder(path=folder)
    return Path(os.path.relpath(folder))


def last_results(given: argparse.Namespace) -> Path:
    """Return the folder of what the last session left, by default."""
    return Path(os.path.relpath(project_root(given) / _OUTPUT))


def last_orphans(given: argparse.Namespace) -> list[str] | None:
    """Return the files that no test claimed in the last session, or None if it did not see all tests."""
    found = _last_session(given).get("orphans")
    return [str(name) for name in found] if isinstance(found, list) else None


def _last_session(given: argparse.Namespace) -> dict[str, Any]:
    try:
        content = json.loads(read(output(given) / "session.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def stored(given: argparse.Namespace, text: str) -> list[Stored]:
    """Return the baselines that a word of the command line means; NotFoundError if there is none, or too many."""
    folder = baselines(given)
    known = inventory(folder)
    if found := called(text, known, project_root(given)):
        return found
    raise NotFoundError.baseline(name=text, place=folder, near=near(text, known))
