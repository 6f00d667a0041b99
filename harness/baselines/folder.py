"""Which folder a project keeps its baselines in: what its own ini file says, and nothing that a session left."""

import configparser
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.atomic_files import read
from harness.errors import NotFoundError


_LARGEST_FILE = 2**20
"""Bytes of an ini file."""


def named_folder(root: Path, own: str, pytest_mpl: str) -> Path:
    """Return the folder that `training_baselines`, or else `mpl-baseline-path`, names from the root; a URL is none."""
    return root / (own or (pytest_mpl if not re.match("https?://", pytest_mpl) else "") or "baselines")


def stated_folder(root: Path) -> Path:
    """Return the folder that the project's ini file names, without running pytest; NotFoundError if it is broken."""
    _, options = configuration(root) or (None, {})
    return named_folder(root, *(str(options.get(name) or "") for name in ("training_baselines", "mpl-baseline-path")))


def spelt_out(path: Path) -> Path:
    """Return an absolute path without `..`, as it is written: links are not followed."""
    return Path(os.path.normpath(path.absolute()))


def is_root(folder: Path) -> bool:
    """Tell whether a folder has a configuration of pytest's, readable or not."""
    try:
        return configuration(folder) is not None
    except NotFoundError:
        return True


def configuration(root: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Return the first file that configures pytest, and its ini options; None without any, NotFoundError if broken."""
    for name in _FILES:
        path = root / name
        try:
            if (
                path.is_file()
                and (found := options_in(name, read(path, _LARGEST_FILE).decode("utf-8-sig"))) is not None
            ):
                return path, found
        except (OSError, ValueError, configparser.Error, RecursionError) as error:
            raise NotFoundError.folder(path=path, reason=error) from error
    return None


def options_in(name: str, text: str) -> Mapping[str, Any] | None:
    """Return the ini options in the text of a file of a name that pytest looks for; None where it is no configuration.

    ValueError if it is no TOML, configparser.Error if it is no INI file.
    """
    return _FILES[name](text)


def _toml(text: str) -> Mapping[str, Any]:
    return _table(tomllib.loads(text), "pytest")


def _pyproject(text: str) -> Mapping[str, Any] | None:
    found = _table(_table(tomllib.loads(text), "tool"), "pytest")
    return {**found, **_table(found, "ini_options")} or None


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _ini(text: str) -> Mapping[str, Any]:
    return _section(text, "pytest") or {}


def _section(text: str, name: str) -> Mapping[str, Any] | None:
    parser = configparser.RawConfigParser(default_section="", strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # pytest's names have their case
    parser.read_string(text)
    return dict(parser[name]) if parser.has_section(name) else None


_FILES: Mapping[str, Callable[[str], Mapping[str, Any] | None]] = {
    "pytest.toml": _toml,
    ".pytest.toml": _toml,
    "pytest.ini": _ini,
    ".pytest.ini": _ini,
    "pyproject.toml": _pyproject,
    "tox.ini": lambda text: _section(text, "pytest"),
    "setup.cfg": lambda text: _section(text, "tool:pytest"),
}
"""In the order in which pytest looks; the first four count although they are empty."""
