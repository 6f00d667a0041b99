"""Promises of environment: what a record says of the machine, and which devices a training may ask for."""

import platform
import subprocess
import sys

import pytest
import torch

from harness import errors
from harness.record.environment import DEVICES, _has_driver, available_devices, describe, differences, require_device


def test_a_machine_describes_itself_the_same_twice():
    """Nothing in it changes from run to run, so that equal trainings have equal texts."""
    assert describe("cpu") == describe("cpu")


def test_a_description_is_texts_under_fixed_names():
    """Versions, system, processor, instruction set, threads and device: all texts, none empty."""
    found = describe("cpu")

    assert list(found)[:7] == ["python", "torch", "system", "processor", "instructions", "threads", "device"]
    assert all(isinstance(text, str) and text for text in found.values())
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert found["device"] == "cpu"


def test_the_number_of_threads_is_the_present_one():
    """A run on another number of threads is another environment."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert describe("cpu")["threads"] == str(threads + 1)
    finally:
        torch.set_num_threads(threads)


def test_variables_that_choose_kernels_are_part_of_it(monkeypatch):
    """An environment variable that picks other kernels is named while it is set, and absent otherwise."""
    monkeypatch.delenv("MKL_CBWR", raising=False)
    before = describe("cpu")
    monkeypatch.setenv("MKL_CBWR", "AVX2")

    assert differences(before, describe("cpu")) == [("MKL_CBWR", "absent", "AVX2")]


def test_differences_come_in_the_order_of_now_and_then_what_is_gone():
    """Equal entries are left out; what stands on one side only is absent on the other."""
    before = {"gone": "1", "same": "x", "torch": "2.14", "lost": "2", "python": "3.11"}
    now = {"python": "3.12", "new": "3", "same": "x", "torch": "2.15"}

    assert differences(before, now) == [
        ("python", "3.11", "3.12"),
        ("new", "absent", "3"),
        ("torch", "2.14", "2.15"),
        ("gone", "1", "absent"),
        ("lost", "2", "absent"),
    ]


def test_equal_environments_have_no_differences():
    """The order of entries is no difference."""
    assert differences({"a": "1", "b": "2"}, {"b": "2", "a": "1"}) == []


@pytest.fixture
def machine(monkeypatch):
    """Function that says which accelerators this machine has."""

    def has(*, cuda, mps):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "devices"),
    [(False, False, ("cpu",)), (True, False, ("cpu", "cuda")), (False, True, ("cpu", "mps")), (True, True, DEVICES)],
)
def test_the_devices_of_a_machine_are_those_that_torch_sees(machine, cuda, mps, devices):
    """The CPU is always there, and first."""
    machine(cuda=cuda, mps=mps)

    assert available_devices() == devices


@pytest.mark.skipif(_has_driver("cuda") or _has_driver("mps"), reason="this machine may have an accelerator")
def test_a_machine_without_drivers_is_known_to_have_only_a_cpu_before_torch_is_imported():
    """Collecting tests takes no seconds of torch's import."""
    program = "import sys, harness.record.environment as e; print(e.available_devices(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "('cpu',) False\n"


@pytest.mark.parametrize(
    ("device", "platform", "files", "possible"),
    [
        ("cuda", "linux", ["nu*"], True),
        ("cuda", "linux", ["no such device"], False),
        ("cuda", "win32", [], True),
        ("cuda", "darwin", ["nu*"], False),
        ("mps", "darwin", [], True),
        ("mps", "linux", ["nu*"], False),
    ],
)
def test_drivers_tell_whether_a_device_is_possible(monkeypatch, device, platform, files, possible):
    """By their files in /dev (here: /dev/null), or by the platform alone."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("harness.record.environment._CUDA_DRIVERS", files)

    assert _has_driver.__wrapped__(device) is possible


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_the_cpu_takes_every_precision(precision):
    """A training on the CPU is never refused."""
    require_device("cpu", precision)


def test_an_unknown_device_is_refused_with_the_known_ones():
    """A misspelt device is not taken for a missing one."""
    with pytest.raises(errors.DeviceError) as caught:
        require_device("tpu", "float64")

    assert str(caught.value) == "there is no device 'tpu'\n  fix    use one of cpu, cuda, mps"


@pytest.mark.parametrize(
    ("device", "probe"),
    [("cuda", "torch.cuda.is_available() is False"), ("mps", "torch.backends.mps.is_available() is False")],
)
def test_a_missing_device_is_refused_with_the_probe_that_missed_it(machine, device, probe):
    """Absence comes before what the device could not do anyway."""
    machine(cuda=False, mps=False)

    with pytest.raises(errors.NoDeviceError) as caught:
        require_device(device, "float64")

    assert str(caught.value) == (
        f"this machine has no {device} device ({probe})\n"
        f"  fix    run on a machine that has one, or train on another device"
    )


def test_mps_has_no_float64(machine):
    """A float64 training is refused there, other precisions are not."""
    machine(cuda=False, mps=True)

    with pytest.raises(errors.DevicePrecisionError) as caught:
        require_device("mps", "float64")

    assert str(caught.value) == (
        "mps cannot compute in float64\n  fix    use a recipe of another precision there, or another device"
    )
    require_device("mps", "float32")
    require_device("mps", "bfloat16")
