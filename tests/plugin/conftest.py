"""A small project that uses the plugin, trained in a fraction of a second."""

import atexit
import contextlib
import gc
import hashlib
import importlib
import os
import pkgutil
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

import harness
from harness.comparing import metrics, variants
from harness.elsewhere.cost import Cost
from harness.elsewhere.rerun import Reruns
from tests.projects import GATE, QUICK


# pytester forgets the modules that a run in this process was first to import, and NumPy cannot be imported twice:
# whatever is heavy is imported here, before the first run (torch._dynamo is what the first optimizer imports), and so
# is all of ours: a name that a test patches would be that of a module which the next run does not see
_HEAVY = ("matplotlib.pyplot", "matplotlib.testing.decorators", "seaborn", "torch._dynamo", "torch.utils.tensorboard")
for _module in (*_HEAVY, "torchvision"):
    importlib.import_module(_module)
importlib.import_module("safetensors.torch")
for _found in pkgutil.walk_packages(harness.__path__, "harness."):
    if not _found.name.startswith("harness.adapters."):  # whose libraries not everybody has
        importlib.import_module(_found.name)
gc.collect()
gc.freeze()  # a million objects of torch, which no inner session needs to look through for garbage

GENERATE = "--mpl-generate-path=baselines"
_LEFT = ("baselines", "build")
"""Folders of what a session leaves."""


@pytest.fixture
def real_pictures():
    """Asked for by tests that look at the pictures of a red training, which others do without."""


@pytest.fixture
def own_process():
    """Asked for by tests of the process that reruns are copies of; others share one, which takes seconds to prepare."""


@pytest.fixture
def measured_thresholds():
    """Asked for by tests of thresholds that float64 trainings measure themselves; others do without five trainings."""


@pytest.fixture
def measured_costs():
    """Asked for by tests of what trainings cost beside another commit's; others run none for it."""


def _only_with_states(record, states, rerun):
    return variants.calibrate(record, states, rerun) if states else None


_SHARED = Reruns(Path.cwd(), list, "pytest")
"""Its process is what reruns of all projects are copies of."""
atexit.register(_SHARED.close)


_START, _ALONE = Reruns._request, threading.Lock()


def _request(request, chosen):
    """Whatever the hash seed: it is another one than this process's anyway. One at a time, whoever asks."""
    with _ALONE:
        return _START(_SHARED, request, ())


@pytest.fixture
def project(request, pytester, monkeypatch, tmp_path_factory):
    """A folder with one gated test file; outside CI, without CIFAR-10 and without plugins that reorder tests."""
    if "real_pictures" not in request.fixturenames:
        monkeypatch.setattr("harness.report.failed_pictures.deviations", lambda comparison: _PICTURE)
        monkeypatch.setattr("harness.figures.film", lambda record, baseline: b"GIF89a")
    if "own_process" not in request.fixturenames:
        monkeypatch.setattr(Reruns, "_request", staticmethod(_request))
    monkeypatch.setattr("harness.comparing.metrics.require_same", metrics.require_same)  # projects put others there
    if "measured_thresholds" not in request.fixturenames:
        monkeypatch.setattr("harness.comparing.calibrating.calibrate", _only_with_states)
        for name in ("require_repeatable", "require_same"):
            monkeypatch.setattr(f"harness.comparing.calibrating.{name}", lambda *given: None)
    if "measured_costs" not in request.fixturenames:
        monkeypatch.setattr(
            "harness.plugin.cost.measure", lambda there, here, at, seconds, budget, most: Cost(at=at, unknown="-")
        )
    monkeypatch.setattr("harness.plugin.devices.available_devices", lambda: ("cpu",))  # what is counted is the CPU's
    github = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE")
    for name in ("CI", "HARNESS_CIFAR10", "PYTEST_ADDOPTS", *github):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # an edit within a second would meet the old bytecode
    pytester.plugins = []
    pytester.makepyfile(test_gate=GATE)
    base = tmp_path_factory.getbasetemp()  # of a worker below that of the session
    return Project(pytester, (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "generated")


_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
"""A PNG of one white pixel."""


MEASURES_NOTHING = """
from harness.comparing import calibrating

calibrating.calibrate = calibrating.require_repeatable = calibrating.require_same = lambda *given: None
"""
"""Of a conftest.py: spares processes, which no test patches, the five trainings of measured thresholds."""


class Project:
    """What tests do with a project.

    Args:
        pytester: of the test.
        generated: folder of what projects were generated so far, by what they held, for the next equal one.
    """

    def __init__(self, pytester, generated):
        self.pytester = pytester
        self._generated = generated
        self.path = pytester.path
        self.baselines = pytester.path / "baselines"

    def run(self, *options, **outcomes):
        """Run pytest in this process; if outcomes are given, it has these."""
        result = self.pytester.runpytest_inprocess(*QUICK, *options)
        if outcomes:
            result.assert_outcomes(**outcomes)
        return result

    def generate(self, *options):
        """Write the baselines; where nothing has run yet, copy those that an equal project wrote before."""
        kept = self._generated / self._key(options)
        pristine = not any((self.path / name).exists() for name in _LEFT)
        if pristine and kept.exists():
            shutil.copytree(kept, self.path, dirs_exist_ok=True)
            return self.files()
        result = self.run(GENERATE, *options)
        assert result.ret == 0, result.stdout.str()
        if pristine:
            self._keep(kept)
        return self.files()

    def _keep(self, kept):
        """Leave what was generated for the next equal project; another worker may have been faster."""
        kept.parent.mkdir(exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=kept.parent))
        for name in _LEFT:
            shutil.copytree(self.path / name, scratch / name)
        with contextlib.suppress(OSError):
            scratch.rename(kept)

    def _key(self, options):
        """What a generation depends on: files, options, variants that calibrate."""
        digest = hashlib.sha256(repr((options, variants.KERNELS, variants.DRAWS)).encode())
        for path in sorted(path for path in self.path.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{path.relative_to(self.path)}\n".encode() + path.read_bytes())
        return digest.hexdigest()

    def measures_nothing(self):
        """Spare its processes the trainings of measured thresholds."""
        (self.path / "conftest.py").write_text(MEASURES_NOTHING)

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
