"""Who owns baselines in the whole project, where a session collects a part of it: a process collects all of it."""

import json
import os
from pathlib import Path

import pytest

from harness import scratch
from harness.baselines.store import folded
from harness.plugin.command_line import switch_off
from harness.plugin.session import Session


_VARIABLE = "HARNESS_CLAIMS"
"""Tells a process to collect the whole project, and in which file to leave what its tests own."""
_NARROWING = ("lf", "ignore", "ignore_glob", "stepwise", "testmon")
"""Options that leave files uncollected, pytest-testmon's too; `-k` and `-m` take tests away later."""


def asked() -> Path | None:
    """Return where this process is to leave what the tests own; None in an ordinary session."""
    place = os.environ.get(_VARIABLE)
    return Path(place) if place else None


def widen(config: pytest.Config) -> None:
    """Have this process collect the whole project, and run nothing."""
    config.args[:] = places(config)
    config.option.collectonly = True
    switch_off(config, _NARROWING)


def places(config: pytest.Config) -> list[str]:
    """Return where a project's tests are: its testpaths, or all that is below its root."""
    root = config.rootpath.resolve()
    found = [path for pattern in config.getini("testpaths") for path in sorted(root.glob(pattern))]
    return [*map(str, found or [root])]


def _given(config: pytest.Config) -> list[Path]:
    """Return what is to be collected; of a single test, what is no path."""
    return [(config.invocation_params.dir / argument).resolve() for argument in config.args]


def is_narrowed(config: pytest.Config) -> bool:
    """Tell whether a session collects less than the whole project."""
    if any(config.getoption(name, None) for name in _NARROWING):
        return True
    return not all(any(map(Path(place).is_relative_to, _given(config))) for place in places(config))


def lies_outside(config: pytest.Config) -> bool:
    """Tell whether a session collects tests outside the root: nobody knows how many more there are."""
    root = config.rootpath.resolve()
    return not all(place.is_relative_to(root) for place in _given(config))


def owned_files(session: Session) -> tuple[set[str], str]:
    """Return the files that tests of the whole project own, as `folded` returns them, and why there may be more."""
    with scratch.folder() as folder:
        place = folder / "claims.json"
        output = session.reruns.start(folder, {_VARIABLE: str(place)})
        if not place.exists():
            last = output.strip().splitlines()[-1:]
            return set(), "the whole project could not be collected" + (f": {last[0]}" if last else "")
        claims = json.loads(place.read_text(encoding="utf-8"))
    return {folded(file) for owned in claims["files"].values() for file in owned}, claims["doubt"]
