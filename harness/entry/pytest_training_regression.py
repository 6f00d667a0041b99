"""Where pytest finds the plugin: a module of a name that no project has.

A project may have a package or module `harness` of its own. Where that hides ours, pytest runs on without the gate and
says so; a project that sets the gate up gets an error instead, since a gate that is off must not be green.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest


_ROOTS = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "setup.py", ".git")


def _is_ours(package: Path) -> bool:
    return (package / "plugin" / "pytest_mpl.py").is_file()


def _hiding() -> Path | None:
    """Return a package or module that has, or will have, the name of ours; None if there is none."""
    spec = find_spec("harness")
    if spec and spec.origin and not _is_ours(Path(spec.origin).parent):
        return _named(Path(spec.origin))
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if any((folder / name).exists() for name in _ROOTS)), here)
    tests = (folder / name for folder in (here, root) for name in ("tests", "test"))
    loose = (folder for folder in tests if not (folder / "__init__.py").exists())
    places = (here, root, root / "src", *loose)  # where pytest, or its ini file, puts the path
    files = (folder / name for folder in places for name in ("harness/__init__.py", "harness.py"))
    return next((_named(file) for file in files if file.is_file() and not _is_ours(file.parent)), None)


def _named(file: Path) -> Path:
    """Return a package's folder, or a module's file."""
    return file.parent if file.name == "__init__.py" else file


HIDING = _hiding()
pytest_plugins = [] if HIDING else ["harness.plugin"]
_SENTENCE = (
    f"training regression: off, since {HIDING} hides `harness` of pytest-training-regression; rename it, "
    "or run pytest with -p no:training_regression"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the ini option of a project that is gated."""
    if HIDING:
        parser.addini("training_baselines", _SENTENCE)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run without the gate where the project asks for it."""
    if HIDING and config.getini("training_baselines"):
        raise pytest.UsageError(_SENTENCE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that nothing is gated."""
    if HIDING:
        terminalreporter.write_line(_SENTENCE)
