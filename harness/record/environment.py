"""Where a training ran: the versions and hardware that can change its numbers."""

import contextlib
import functools
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from harness.errors import DeviceError, DevicePrecisionError, NoDeviceError


DEVICES = ("cpu", "cuda", "mps")
"""Kinds of device that a training can run on."""
_VARIABLES = (
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
)
"""Environment variables that choose other kernels."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CUDA_DRIVERS = ("nvidia*", "nvhost*", "nvgpu*", "dxg", "kfd")
"""Device files of NVIDIA's drivers (desktop, Jetson), of WSL 2 and of AMD's ROCm."""


def available_devices() -> tuple[str, ...]:
    """Return the kinds of device that this machine has, cpu first."""
    return tuple(device for device in DEVICES if _probe(device)[0])


def require_device(device: str, precision: str) -> None:
    """Refuse a device that is unknown, that this machine lacks, or that cannot compute in a precision."""
    if device not in DEVICES:
        raise DeviceError.unknown(device=device, known=DEVICES)
    present, probe = _probe(device)
    if not present:
        raise NoDeviceError.of(device=device, probe=probe)
    if device == "mps" and precision == "float64":  # which MPS does not have
        raise DevicePrecisionError.of(device=device, precision=precision)


def _probe(device: str) -> tuple[bool, str]:
    if device == "cpu":
        return True, ""
    probe = f"torch.{'cuda' if device == 'cuda' else 'backends.mps'}.is_available() is False"
    if "torch" not in sys.modules and not _has_driver(device):
        return False, probe  # torch, whose import takes seconds, would say so, too
    import torch

    return (torch.cuda if device == "cuda" else torch.backends.mps).is_available(), probe


@functools.cache
def _has_driver(device: str) -> bool:
    """Tell whether a device is possible here, by the platform and the files that drivers make."""
    if device == "mps":
        return sys.platform == "darwin"
    if sys.platform != "linux":
        return sys.platform == "win32"
    return any(any(Path("/dev").glob(name)) for name in _CUDA_DRIVERS)


def describe(device: str) -> dict[str, str]:
    """Return what can change a training's numbers here, name to text; the same in every run on this machine."""
    import torch

    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
    }
    if device == "cuda":
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return found | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of distributions by name, as far as they are installed."""
    found = {}
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine() -> dict[str, str]:
    """Return what of a machine and its settings can change a training on the CPU; torch's import would be slow."""
    settings = {name: os.environ[name] for name in (*_VARIABLES, *_THREADS) if name in os.environ}
    return {"processor": _processor(), "flags": _cpuinfo("flags") or _cpuinfo("Features")} | settings


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or "unknown"


def _cpuinfo(field: str) -> str:
    """Return what Linux says of the first processor; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return name, former and present text of everything that differs, in the order of `now`."""
    names = [*now, *(name for name in before if name not in now)]
    pairs = ((name, before.get(name, "absent"), now.get(name, "absent")) for name in names)
    return [(name, former, present) for name, former, present in pairs if former != present]


def in_words(changed: Iterable[tuple[str, object, object]]) -> list[str]:
    """Return a text for each name, former and present value, as `differences` gives them."""
    return [f"{name} {former} -> {present}" for name, former, present in changed]
