"""Promises of --training-device and --training-require-device."""

import pytest
import torch

from harness.plugin import devices
from harness.plugin.gated_test import shared_id
from tests.plugin.conftest import GENERATE


needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


def test_an_unknown_device_is_refused_at_once(project):
    """A message, a usage error, no training."""
    result = project.run("--training-device=tpu")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: there is no device 'tpu'", "  fix    use one of cpu, cuda, mps"])


@needs_no_cuda
def test_a_missing_device_is_skipped_with_its_reason_and_counted(project):
    """Asked for and absent: skipped, and the summary says why."""
    project.generate()
    result = project.run("--mpl", "--training-device=cpu,cuda", passed=2, skipped=2)

    line = "2 tests skipped: this machine has no cuda device (torch.cuda.is_available() is False)"
    result.stdout.fnmatch_lines([line])


@needs_no_cuda
def test_a_required_device_that_is_missing_is_a_failure(project):
    """In a GPU job a missing GPU must not be green."""
    project.generate()
    result = project.run("--mpl", "--training-require-device=cuda")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "this machine has no cuda device (torch.cuda.is_available() is False)",
            "  fix    run on a machine that has one, or train on another device",
        ]
    )


@needs_no_cuda
def test_a_test_can_ask_for_one_device(project):
    """The marker pins a test to a device, which is skipped where it is missing."""
    project.write(
        test_gpu="""
        import pytest

        @pytest.mark.device("cuda")
        def test_on_the_gpu(device):
            assert device == "cuda"
        """
    )
    project.run("test_gpu.py", "-rs", skipped=1).stdout.fnmatch_lines(["*this machine has no cuda device*"])


def test_a_projects_own_device_fixture_wins(project):
    """Many projects have a fixture or parameter of that name; ours stays out of their way."""
    project.write(
        test_own="""
        import pytest

        @pytest.fixture
        def device():
            return "their own"

        def test_fixture(device):
            assert device == "their own"

        @pytest.mark.parametrize("device", ["a", "b"])
        def test_parameter(device):
            assert device in "ab"
        """
    )

    project.run("test_own.py", passed=3)


def test_one_baseline_serves_all_devices(project):
    """The device is no part of a baseline's name: in float64 all devices agree."""
    files = project.generate("--training-device=cpu")

    assert not [name for name in files if "cpu" in name]


def test_float64_is_skipped_on_mps(project, monkeypatch):
    """MPS has no float64: the test is skipped with that reason."""
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    project.run("--training-device=mps", "-rs", skipped=2).stdout.fnmatch_lines(["*mps cannot compute in float64*"])


def test_without_cifar10_its_tests_are_skipped_with_the_line_that_enables_them(project):
    """No download, no failure: a reason."""
    project.edit('model="cifar_cnn",', 'model="cifar_cnn", data="cifar10",')
    project.run("--mpl", skipped=2).stdout.fnmatch_lines(
        ["2 tests skipped: this training needs CIFAR-10, and no path to it was given; --training-cifar10=PATH, *"]
    )


@pytest.mark.parametrize("source", ["option", "variable", "ini"])
def test_a_path_without_cifar10_is_a_failure_that_names_it(project, monkeypatch, source):
    """A path was given, so a skip would hide a mistake; relative to the root in the ini file."""
    project.edit('model="cifar_cnn",', 'model="cifar_cnn", data="cifar10",')
    path = str(project.path / "nowhere")
    if source == "variable":
        monkeypatch.setenv("HARNESS_CIFAR10", path)
    if source == "ini":
        project.pytester.makeini("[pytest]\ntraining_cifar10 = nowhere\n")
    project.run(
        "--mpl", *([f"--training-cifar10={path}"] if source == "option" else []), errors=2
    ).stdout.fnmatch_lines([f"there is no CIFAR-10 at {path}"])


def test_a_text_file_as_npz_is_named(project):
    """The message says which file cannot be used and why."""
    project.edit('model="cifar_cnn",', 'model="cifar_cnn", data="cifar10",')
    (project.path / "cifar.npz").write_text("not an archive")
    project.run("--mpl", "--training-cifar10=cifar.npz", errors=2).stdout.fnmatch_lines(
        ["*cifar.npz cannot be used as CIFAR-10: *", "  fix    fetch the file again, *"]
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("epochs=0", "epochs cannot be 0"),
        ("epochs=1, learning_rate=-1", "learning_rate cannot be -1"),
    ],
)
def test_an_impossible_recipe_is_named(project, change, line):
    """A recipe is checked where it is written."""
    project.edit("epochs=2", change)
    result = project.run("--mpl")

    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{line}"])


def test_a_model_of_the_wrong_shape_is_named(project):
    """The first batch tells."""
    project.edit(
        'RECIPE = Recipe(model="cifar_cnn", width=2,',
        "import torch\ndef nine():\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 9))\n\nRECIPE = Recipe(model=nine,",
    )
    project.run(GENERATE, errors=2).stdout.fnmatch_lines(
        [
            "step 0: the model returned (4, 9), not logits of shape (4, 10)",
            "  where  model test_gate.nine",
            "  fix    return one row of 10 logits an image",
        ]
    )
    assert project.files() == {}


def test_training_works_in_a_unittest_case(project):
    """There a fixture cannot be parametrised; it runs on the first device."""
    project.write(
        test_case="""
        import unittest
        import pytest
        from harness import Recipe

        class TestTraining(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def trained(self, request):
                training = request.getfixturevalue("training")
                self.record = training(Recipe(width=2, epochs=1, train_images=8, test_images=8))

            def test_it(self):
                self.assertEqual(self.record.device, "cpu")
        """
    )

    project.run("test_case.py", "--training-device=cpu", passed=1)


def test_an_unknown_device_in_a_marker_is_refused(project):
    """A message, not a traceback through the harness."""
    project.write(test_gpu="import pytest\n@pytest.mark.device('gpu')\ndef test_a(device): ...")
    result = project.run("test_gpu.py")

    assert result.ret != 0
    result.stdout.fnmatch_lines(["the marker `device` names 'gpu', which is no device", "  where  test_gpu.py::test_a"])
    result.stdout.no_fnmatch_line("*harness/environment.py*")


NAMED_LIKE_DEVICES = """
import pytest

@pytest.fixture(params=["p-cpu", "q"])
def other(request): return request.param

@pytest.mark.parametrize("x", ["a-cpu-b", "a-b-cpu"])
def test_a(x, other, device, training_regression): ...

def test_b(device, training_regression): ...
"""


def test_a_value_that_reads_like_a_device_stays_in_the_name(project, monkeypatch):
    """Tests on two devices have one baseline, and no two tests of one device share it."""
    monkeypatch.setattr(devices, "_missing", lambda name: "")
    project.write(test_gate=NAMED_LIKE_DEVICES)
    items, _ = project.pytester.inline_genitems("--training-device=cpu,cuda")
    names = [(shared_id(item).partition("[")[2], devices.device_of(item)) for item in items]

    on_cpu = [name for name, device in names if device == "cpu"]
    assert sorted(on_cpu) == ["", "p-cpu-a-b-cpu]", "p-cpu-a-cpu-b]", "q-a-b-cpu]", "q-a-cpu-b]"]
    assert sorted(on_cpu) == sorted(name for name, device in names if device == "cuda")
    assert all(getattr(item.callspec, "_idlist", None) for item in items)  # what pytest does not promise


@pytest.mark.parametrize(
    ("model", "outcomes"), [("H100", {"passed": 1}), ("A100", {"skipped": 1})], ids=["there", "another"]
)
def test_a_test_can_ask_for_a_model_of_gpu(project, monkeypatch, model, outcomes):
    """It runs on that alone, as a test of the device; where there is another it is skipped, and that one is named."""
    monkeypatch.setattr("harness.plugin.devices.require_device", lambda name, precision: None)
    monkeypatch.setattr("harness.plugin.devices.describe", lambda name: {"device": "NVIDIA H100 80GB HBM3"})
    text = f"import pytest\n@pytest.mark.device('cuda:{model}')\ndef test_a(device): assert device == 'cuda'"
    project.write(test_gpu=text)
    result = project.run("test_gpu.py", "-rs", **outcomes)

    said = "this machine has no cuda:A100 device: it has NVIDIA H100 80GB HBM3"
    assert (said in result.stdout.str()) is (model == "A100")
