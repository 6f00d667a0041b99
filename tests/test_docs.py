"""Promises of the README: what it shows is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.plugin import options
from tests.plugin.conftest import GENERATE, project  # noqa: F401 - a fixture


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind):
    """Fenced blocks of one kind, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    return [text for language, text in found if language == kind]


def test_the_first_example_runs_and_fails_as_shown(project):  # noqa: F811 - the fixture
    """The twelve lines are green against their own baselines, and red, word for word, with the rate off by 0.1 %."""
    (project.path / "test_gate.py").unlink()
    (project.path / "test_training.py").write_text(blocks("python")[0])
    project.generate()
    project.edit("learning_rate=0.05", "learning_rate=0.05005", file="test_training.py")
    result = project.run("--mpl")

    result.assert_outcomes(failed=2)
    shown = blocks("")[0].strip().splitlines()
    start = result.outlines.index(shown[0])
    assert [undated(line) for line in result.outlines[start : start + len(shown)]] == [undated(line) for line in shown]


def undated(line):
    """A line of a failure without the time at which its baseline was made, and how many values are beyond thresholds.

    Those are not measured here, which takes five trainings.
    """
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE", line)
    return re.sub(r"\d \d{3} of (?=2 987 values)", "N of ", line)


EXTRAS = ("hypothesis", "xdist", "pytest_rerunfailures", "lightning", "transformers", "accelerate", "ignite")


def test_the_gate_is_collected_without_any_extra():
    """The first command block installs none, so that nothing on the gate's way may import one."""
    program = (
        f"import sys, pytest\nsys.modules.update(dict.fromkeys({EXTRAS}))\n"  # None: importing it fails
        "sys.exit(pytest.main(['--collect-only', '-q', '--mpl', '-p', 'pytest_mpl.plugin', '-p', 'harness.plugin']))"
    )
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/gate/test_shipped_recipes.py" in done.stdout


def test_the_first_example_is_short():
    """Twelve lines, in the first 25 of the page."""
    assert len([line for line in blocks("python")[0].splitlines() if line]) <= 12
    assert README[: README.index("```python")].count("\n") < 12


def test_the_loop_example_runs(project):  # noqa: F811 - the fixture
    """The watched loop works as printed, with a build() and batches of one's own."""
    (project.path / "test_gate.py").unlink()
    body = """        optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
"""
    prelude = """import torch
batches = [(torch.arange(12, dtype=torch.float64).reshape(4, 3) / 12, torch.tensor([0, 1, 2, 0]))] * 3
def build():
    model = torch.nn.Linear(3, 3)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)
"""
    code = prelude + blocks("python")[1].replace("        ...\n", body, 1)
    (project.path / "test_loop.py").write_text(code)

    project.generate()
    project.run("--mpl").assert_outcomes(passed=1)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning")  # Lightning's own calls of torch
def test_the_lightning_example_runs(project):  # noqa: F811 - the fixture
    """A fit is gated as printed, with the module and data of the example project."""
    pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    pytest.importorskip("harness.adapters.lightning")  # here, so that pytester does not import it anew
    (project.path / "test_gate.py").unlink()
    example = ROOT / "tests" / "examples" / "lightning" / "lit_stripes.py"
    prelude = """from lightning.pytorch import Trainer
from lit_stripes import LitClassifier as LitModel, Stripes
datamodule = Stripes()
"""
    (project.path / "lit_stripes.py").write_text(example.read_text())
    (project.path / "test_fit.py").write_text(prelude + blocks("python")[2])

    project.generate()
    project.run("--mpl").assert_outcomes(passed=1)


def test_ci_runs_the_test_command_of_the_readme():
    """What contributors are told to run is what CI runs."""
    gate, tests = blocks("sh")
    ours = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    for command in tests.strip().split(" && "):
        assert command.replace("--quiet ", "").replace(".venv", ".ci-venv").split()[-1] in ours
    workflow = (ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8")
    assert ".ci-venv/bin/pytest --mpl -n auto tests" in ours
    assert "run: pytest --mpl -n auto tests" in workflow
    assert tests.strip().endswith(".venv/bin/pytest --mpl -n auto tests")
    assert gate.strip().endswith(".venv/bin/pytest --mpl")


class Names:
    """Stands for pytest's parser, and takes down what is added to it."""

    def __init__(self):
        self.found = []

    def getgroup(self, *_):
        """Return what takes options."""
        return self

    def addoption(self, name, *_, **__):
        """Take down a name."""
        self.found.append(name)

    addini = addoption


def test_every_option_is_in_the_readme():
    """An option that nobody can find does not exist; each begins with our word."""
    options.add(names := Names())
    for name in names.found:
        assert name.removeprefix("--").startswith("training"), name
        assert re.search(rf"`{re.escape(name)}[`=]|ini `{name}`", README), name


def test_every_dependency_has_its_reason_in_the_readme():
    """Each distribution that pyproject.toml asks for stands in the table of dependencies."""
    import tomllib

    project_table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for group in project_table["optional-dependencies"].values() for name in group]
    table = README[README.index("## Dependencies") :]
    for requirement in [*project_table["dependencies"], *extras]:
        assert re.match(r"[\w-]+", requirement).group() in table


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"])
def test_pages_have_short_lines(name):
    """Prose is wrapped at 120 columns; tables and output are not."""
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)

    assert not [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]


def test_contributing_is_short():
    """It is read before the first change, or not at all."""
    assert len((ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_generate_is_the_command_of_the_readme():
    """The option that the tests use is the documented one."""
    assert GENERATE in README


def test_every_figure_is_in_the_readme():
    """Those of a record with a phrase each; two that show the same of two things share one."""
    from harness import figures

    for name in figures.OF_A_RECORD:
        assert re.search(rf"`{name}`(, `\w+`)? \(", README), name
    for name in set(figures.__all__) - {*figures.OF_A_RECORD, "OF_A_RECORD"}:
        assert f"`{name}(" in README
