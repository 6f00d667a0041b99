"""A small project that uses the plugin, trained in a fraction of a second."""

import importlib

import pytest


# pytester forgets the modules that a run in this process was first to import, and NumPy cannot be imported twice:
# whatever is heavy is imported here, before the first run (torch._dynamo is what the first optimizer imports)
for _module in ("matplotlib.pyplot", "matplotlib.testing.decorators", "seaborn", "torch._dynamo", "torch.utils.tensorboard", "torchvision"):
    importlib.import_module(_module)
importlib.import_module("safetensors.torch")
for _module in ("calibration", "equivalence", "power", "summary", "tensorboard", "training"):
    importlib.import_module(f"harness.{_module}")
for _module in ("evidence", "progress", "regression", "summary", "workers"):
    importlib.import_module(f"harness.plugin.{_module}")
importlib.import_module("harness.page")

SMALL = """
import dataclasses
import pytest
from harness import Recipe, figures

RECIPE = Recipe(model="cifar_cnn", width=2, epochs=2, train_images=20, test_images=20, batch_size=8, warmup_steps=1)
"""

GATE = (
    SMALL
    + """
@pytest.fixture(scope="module")
def record(training):
    return training(RECIPE)

def test_training(record, training_regression):
    training_regression.check(record)

@pytest.mark.mpl_image_compare
def test_loss_curve(record):
    return figures.loss_curve(record)
"""
)

GENERATE = "--mpl-generate-path=baselines"


@pytest.fixture
def project(pytester, monkeypatch):
    """A folder with one gated test file; outside CI, without CIFAR-10 and without plugins that reorder tests."""
    github = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE")
    for name in ("CI", "HARNESS_CIFAR10", "PYTEST_ADDOPTS", *github):
        monkeypatch.delenv(name, raising=False)
    pytester.plugins = []
    pytester.makepyfile(test_gate=GATE)
    return Project(pytester)


class Project:
    """What tests do with a project."""

    def __init__(self, pytester):
        self.pytester = pytester
        self.path = pytester.path
        self.baselines = pytester.path / "baselines"

    def run(self, *options):
        """Run pytest in this process."""
        return self.pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:rerunfailures", *options)

    def generate(self, *options):
        """Write the baselines."""
        result = self.run(GENERATE, *options)
        assert result.ret == 0, result.stdout.str()
        return self.files()

    def files(self):
        """Name and bytes of every baseline."""
        return {path.name: path.read_bytes() for path in sorted(self.baselines.glob("*"))}

    def write(self, **files):
        """Write test files."""
        self.pytester.makepyfile(**files)

    def edit(self, old, new, file="test_gate.py"):
        """Change a test file."""
        path = self.path / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
