"""Promises of the package: what it imports is declared; and of `python -m tests.packaged`, which tries its wheel."""

import ast
import importlib.metadata
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import harness
from tests.packaged import differing, needed


ROOT = Path(__file__).parents[1]
HARNESS = ROOT / "harness"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHER_NAMES = {"pytorch-lightning": "lightning"}
"""Distributions that are the declared one under its former name, which users may have instead."""


def imported(text):
    """Top-level names of other people's packages that a source imports, at its head or later, also for types only."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"harness"}


def normal(name):
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(path):
    """Distributions that are there when a module of ours is imported."""
    asked = list(PROJECT["dependencies"])
    if path.parent.name == "adapters":
        asked += PROJECT["optional-dependencies"].get(path.stem, [])
    if path == HARNESS / "workers" / "on_ray.py":  # imported where a session asks for it
        asked += PROJECT["optional-dependencies"]["ray"]
    found = {normal(re.match(r"[\w.-]+", requirement).group()) for requirement in asked}
    return found | ({"pytest-xdist"} if path == HARNESS / "plugin" / "xdist.py" else set())  # loaded by pytest-xdist


@pytest.fixture(scope="module")
def providers():
    """Which distributions an import name can come from; a name that is not installed is taken for theirs, too."""
    installed = importlib.metadata.packages_distributions()

    def of(name):
        found = set(map(normal, installed.get(name, [name])))
        return found | {OTHER_NAMES[one] for one in found & OTHER_NAMES.keys()}

    return of


def undeclared(path, text, providers):
    """What a module imports and nobody declares."""
    return {name for name in imported(text) if not providers(name) & declared(path)}


def test_every_import_is_declared(providers):
    """Whoever installs the package gets what it imports; adapters' libraries by the extra of their name."""
    paths = sorted(HARNESS.rglob("*.py"))
    found = {str(path): undeclared(path, path.read_text(encoding="utf-8"), providers) for path in paths}

    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("place", "line", "name"),
    [
        ("recording/recorder.py", "import made_up.parts", "made_up"),
        ("recording/recorder.py", "def late():\n    from made_up import parts", "made_up"),
        ("recording/recorder.py", "import pytest, xdist", "xdist"),
        ("elsewhere/sharing.py", "import xdist.scheduler", "xdist"),
        ("recording/recorder.py", "import ignite", "ignite"),
        ("adapters/lightning.py", "from ignite.engine import Engine", "ignite"),
    ],
)
def test_an_undeclared_import_is_found(providers, place, line, name):
    """One more import, anywhere in a module, is noticed; an extra counts only where it belongs."""
    path = HARNESS / place

    assert undeclared(path, f"{path.read_text(encoding='utf-8')}\n{line}\n", providers) == {name}


def test_a_wheel_that_lacks_a_file_is_found(tmp_path):
    """Neither one that is forgotten nor one too many passes; the metadata are not compared."""
    (tmp_path / "harness").mkdir()
    for name in ("__init__.py", "py.typed"):
        (tmp_path / "harness" / name).touch()

    def packed(*names):
        with zipfile.ZipFile(tmp_path / "one.whl", "w") as archive:
            for name in (*names, "one.dist-info/METADATA"):
                archive.writestr(name, "")
        return tmp_path / "one.whl"

    assert differing(packed("harness/__init__.py", "harness/py.typed"), tmp_path) == []
    assert differing(packed("harness/__init__.py"), tmp_path) == ["harness/py.typed"]
    assert differing(packed("harness/__init__.py", "harness/py.typed", "tests/a.py"), tmp_path) == ["tests/a.py"]


def test_what_is_borrowed_is_what_pip_would_install():
    """Dependencies, theirs, and no extra unasked: the wheel is tried as those have it who take it alone."""

    def names(requirement):
        return {normal(one.name) for one in needed([requirement])}

    assert {"torch", "pytest", "pluggy"} <= names("pytest-training-regression")
    assert "pytest-xdist" not in names("pytest-training-regression")
    assert {"torch", "pytest-xdist", "execnet"} <= names("pytest-training-regression[test]")
    assert names("made-up>=1") == set()


def test_a_name_that_may_be_another_modules_is_explained():
    """A project's own `harness.py`, of a folder that is put on the path after us, meets this."""
    with pytest.raises(
        AttributeError, match="if a module of the project is meant, rename that, or run pytest with -p no:"
    ):
        harness.helper  # noqa: B018 # what the test is about
