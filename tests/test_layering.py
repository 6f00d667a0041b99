"""Promises of the structure: imports go one way, importing costs nothing, the public names are complete."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import harness
from harness import errors


ROOT = Path(harness.__file__).parent

ORDER = [
    "errors",
    "recipe",
    "recipes",
    "record",
    "renaming",
    "states",
    "environment",
    "provenance",
    "png",
    "files",
    "variation",
    "determinism",
    "data",
    "models",
    "hooks",
    "dtypes",
    "measure",
    "pictures",
    "activations",
    "distributions",
    "faults",
    "tape",
    "watched",
    "recording",
    "recorder",
    "adapters",
    "training",
    "thresholds",
    "deviations",
    "comparison",
    "calibration",
    "summary",
    "equivalence",
    "power",
    "baselines",
    "nearest",
    "candidates",
    "inventory",
    "events",
    "figures",
    "tensorboard",
    "results",
    "history",
    "report",
    "page",
    "commands",
    "plugin",
]
"""Top to bottom: a module imports only from those above it."""


def imported_rooms(path):
    """Names of the harness' rooms that a file imports, lazily or not, outside type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in guarded:
            head, _, rest = node.module.partition(".")
            if head == "harness":
                yield from [rest.split(".")[0]] if rest else [alias.name for alias in node.names]


def test_imports_go_one_way():
    """A module imports only from rooms above its own, so there is no cycle."""
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for imported in imported_rooms(path):
            assert ORDER.index(imported) <= ORDER.index(room), f"{path} imports {imported}"


def test_every_room_has_its_place():
    """A new module has to be put into the order."""
    rooms = {module.name for module in pkgutil.iter_modules(harness.__path__)}

    assert rooms == set(ORDER)


def test_the_library_runs_without_pytest():
    """Only the plugin knows pytest."""
    for path in ROOT.rglob("*.py"):
        if "plugin" not in path.relative_to(ROOT).parts:
            assert "import pytest" not in path.read_text(encoding="utf-8"), path


def loaded_by(code):
    """Top-level modules that a fresh interpreter loads."""
    program = f"{code}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_plugin_loads_nothing_heavy():
    """A project that merely has the plugin installed pays nothing."""
    loaded = loaded_by("import harness.plugin")

    assert "pytest" in loaded
    assert not loaded & {"torch", "torchvision", "numpy", "matplotlib", "tensorboard", "seaborn", "pandas", "PIL"}


def test_a_gate_of_numbers_draws_nothing():
    """Whoever compares no figure, and whose trainings are unchanged, does without Matplotlib."""
    loaded = loaded_by(
        "import harness.plugin.regression, harness.tensorboard.writing, harness.shipped.loop, harness.report.markdown"
    )

    assert "torch" in loaded
    assert not loaded & {"torchvision", "matplotlib", "seaborn", "pandas"}


def test_a_session_without_training_loads_nothing_heavy(tmp_path):
    """Nor does a whole session in which no test asks for a fixture of ours."""
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain():\n    assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:pytest_mpl", "-p", "no:randomly", "test_plain.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_importing_the_package_loads_nothing_heavy():
    """The public names are resolved on first use."""
    assert not loaded_by("import harness; harness.Recipe") & {"torch", "numpy", "matplotlib"}


def test_the_public_names_are_complete():
    """Every name in __all__ resolves, and dir() shows it."""
    for name in harness.__all__:
        assert getattr(harness, name) is not None
        assert name in dir(harness)
    assert harness.__all__ == sorted(harness.__all__)


def test_every_module_says_what_it_exports():
    """Each module with public names has an __all__ that holds exactly what others may use."""
    for path in ROOT.rglob("*.py"):
        name = ".".join(["harness", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        if name in ("harness", "harness.plugin"):
            continue
        try:
            module = importlib.import_module(name)
        except errors.NoLibraryError:  # an adapter of a framework that is not installed
            continue
        assert all(hasattr(module, public) for public in module.__all__), name


def test_functions_and_modules_stay_small():
    """No function over 50 lines, no module over 270, docstrings included."""
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 270, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{path}: {node.name}"
