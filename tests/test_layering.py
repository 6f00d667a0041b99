"""Promises of the structure: imports go one way, importing costs nothing, the public names are complete."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import errors
from tests.projects import QUICK


ROOT = Path(harness.__file__).parent

ORDER = re.findall(r"^    (\w+) {2,}\S", harness.__doc__, flags=re.MULTILINE)
"""The rooms, top to bottom, as the docstring of the package lists them: a module imports only from its own room and
from those above it."""


def name_of(path):
    """The name that a module is imported by."""
    return ".".join(["harness", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imported(path, *, later=True):
    """Modules of the harness that a file imports outside type checking, at its head or, if wanted, later."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if later else [*at_head(tree.body)]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES and id(node) not in for_types(tree):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ({name if name in MODULES else node.module for name in names})


def for_types(tree):
    """Ids of the nodes that only a type checker follows."""
    guarded = [node for node in ast.walk(tree) if isinstance(node, ast.If) and is_for_types(node)]
    return {id(inner) for node in guarded for inner in ast.walk(node)}


def is_for_types(node):
    """Whether only a type checker follows the branch."""
    return getattr(node.test, "id", "") == "TYPE_CHECKING"


def at_head(body):
    """Nodes that run when the module is imported."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.Lambda) and not (isinstance(node, ast.If) and is_for_types(node)):
            yield node
            yield from at_head(ast.iter_child_nodes(node))


def test_imports_go_one_way():
    """A module imports only from its own room and from those above it, and nothing from the package itself."""
    assert len(ORDER) == len(set(ORDER)) > 10
    for name, path in MODULES.items():
        for other in imported(path) if name != "harness" else ():
            assert room(other) <= room(name), f"{path} imports {other}"


def room(name):
    """Number of a module's room in the order."""
    return ORDER.index(name.split(".")[1])


def test_no_module_imports_itself_by_way_of_others():
    """Whichever is imported first, by itself or from within its room, finds the others whole."""
    above = {name: set(imported(path, later=False)) - {name} for name, path in MODULES.items()}
    while leaves := {name for name, others in above.items() if not others}:
        above = {name: others - leaves for name, others in above.items() if name not in leaves}

    assert above == {}


def test_a_cycle_would_be_found(tmp_path):
    """What a module imports at its head is told from what it imports later, or for types."""
    (tmp_path / "module.py").write_text(
        "from typing import TYPE_CHECKING\nfrom harness import errors\nimport harness.recipe\n"
        "if TYPE_CHECKING:\n    from harness.record import Record\n"
        "class Late:\n    from harness.record.text import to_text\n"
        "    def late(self):\n        from harness.figures import film\n"
    )
    head = {"harness.errors", "harness.recipe", "harness.record.text"}

    assert set(imported(tmp_path / "module.py", later=False)) == head
    assert set(imported(tmp_path / "module.py")) == {*head, "harness.figures.film"}


def test_every_room_has_its_place():
    """A new module has to be put into the order."""
    rooms = {name.split(".")[1] for name in MODULES if name != "harness"}

    assert rooms == set(ORDER)


def test_the_library_runs_without_pytest():
    """Only the plugin knows pytest."""
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] not in ("plugin", "entry"):
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
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:pytest_mpl", *QUICK, "test_plain.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "program", ["import harness; harness.Recipe", "import harness.commands", "import harness.report.check"]
)
def test_what_trains_nothing_loads_nothing_heavy(program):
    """The public names are resolved on first use; commands answer at once; a report is words about numbers."""
    assert not loaded_by(program) & {"torch", "numpy", "matplotlib"}


def test_the_public_names_are_complete():
    """Every name in __all__ resolves, and dir() shows it."""
    for name in harness.__all__:
        assert getattr(harness, name) is not None
        assert name in dir(harness)
    assert harness.__all__ == sorted(harness.__all__)


def test_every_module_is_whole():
    """Each can be imported, and what one exports is there; only packages that gather names export any."""
    for name, path in MODULES.items():
        try:
            module = importlib.import_module(name)
        except errors.NoLibraryError:  # an adapter of a framework that is not installed
            continue
        assert all(hasattr(module, public) for public in getattr(module, "__all__", ())), name
        assert path.name == "__init__.py" or not hasattr(module, "__all__"), name


def test_functions_stay_small():
    """None has over 50 lines, docstrings included."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{path}: {node.name}"
