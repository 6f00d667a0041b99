"""Options added to pytest's configuration, wherever a project keeps it; every other byte stays."""

import configparser
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.atomic_files import read
from harness.baselines.folder import configuration, options_in


Value = str | list[str]
"""Of an option."""

_SECTIONS = {
    "pyproject.toml": ("tool.pytest.ini_options", "tool.pytest"),
    "pytest.toml": ("pytest",),
    ".pytest.toml": ("pytest",),
    "setup.cfg": ("tool:pytest",),
}
"""The section of pytest's options, the usual one first; in other files it is `pytest`."""


def place(root: Path) -> Path:
    """Return the file that configures pytest, or that is to do so: pyproject.toml where there is one."""
    if found := configuration(root):
        return found[0]
    return root / ("pyproject.toml" if (root / "pyproject.toml").is_file() else "pytest.ini")


def added(path: Path, options: Mapping[str, Value]) -> bytes | None:
    """Return a file of pytest's configuration with options that it does not have yet.

    None where they cannot be added without a change of what is there: to an inline table, say.
    """
    former = read(path).decode() if path.exists() else ""
    text = _inserted(former, path.name, "\n".join(lines(path, options)))
    wanted = options if path.suffix == ".toml" else {name: _spelt(value) for name, value in options.items()}
    try:
        return text.encode() if _own(path.name, text) == {**_own(path.name, former), **wanted} else None
    except (ValueError, configparser.Error):  # two tables of one name
        return None


def lines(path: Path, options: Mapping[str, Value]) -> list[str]:
    """Return options as a file of pytest's configuration spells them."""
    spelt = json.dumps if path.suffix == ".toml" else _spelt
    return [f"{name} = {spelt(value)}" for name, value in options.items()]


def _spelt(value: Value) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _inserted(text: str, name: str, new: str) -> str:
    """Return a text with lines below the header of pytest's section, or with the section at its end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    new = new.replace("\n", newline)
    sections = _SECTIONS.get(name, ("pytest",))
    for section in sections:
        if header := re.search(rf"^\[\s*{re.escape(section)}\s*\][^\r\n]*", text, re.MULTILINE):
            return f"{text[: header.end()]}{newline}{new}{text[header.end() :]}"
    between = ("" if text.endswith("\n") else newline) + newline if text.strip("\ufeff") else ""
    return f"{text}{between}[{sections[0]}]{newline}{new}{newline}"


def _own(name: str, text: str) -> dict[str, Any]:
    """Return the options in a text."""
    found = {**(options_in(name, text.removeprefix("\ufeff")) or {})}
    found.pop("ini_options", None)
    return found
