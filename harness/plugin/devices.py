"""Which devices a session trains on."""

from typing import Any

import pytest

from harness.environment import DEVICES, available_devices, require_device
from harness.errors import NoDeviceError, UnknownDeviceError


__all__ = ["PARAMETER", "check_options", "parameters", "require", "writer"]

PARAMETER = "_training_device"
"""The fixture behind `device` that carries the parameter: it is there only where `device` is ours."""


def check_options(config: pytest.Config) -> None:
    """Check the names in --device and --require-device.

    Raises:
        UnknownDeviceError: one is unknown.
    """
    for device in _asked(config) + _required(config):
        if device not in DEVICES:
            raise UnknownDeviceError(device=device, known=", ".join(DEVICES))


def _listed(config: pytest.Config, option: str) -> list[str]:
    names = (config.getoption(option) or "").split(",")
    return [name.strip() for name in names if name.strip()]


def _asked(config: pytest.Config) -> list[str]:
    return _listed(config, "--device")


def _required(config: pytest.Config) -> list[str]:
    return _listed(config, "--require-device")


def parameters(metafunc: pytest.Metafunc) -> list[Any]:
    """Return the devices of one test: its `device` marker's, or the session's; missing ones are marked as skipped."""
    config = metafunc.config
    marked = [str(name) for mark in metafunc.definition.iter_markers("device") for name in mark.args]
    names = marked or [*_chosen(config), *_required(config)]
    return [_parameter(name, name in _required(config)) for name in dict.fromkeys(names)]


def _chosen(config: pytest.Config) -> list[str]:
    return _asked(config) or list(available_devices())


def _parameter(name: str, required: bool) -> Any:
    missing = _missing(name)
    marks = [pytest.mark.skip(reason=missing)] if missing and not required else []
    return pytest.param(name, id=name, marks=marks)


def _missing(name: str) -> str:
    try:
        require(name)
    except NoDeviceError as error:
        return str(error).splitlines()[0]
    return ""


def require(name: str) -> None:
    """Check that this machine has a device.

    Raises:
        UnknownDeviceError: there is no such device.
        NoDeviceError: this machine lacks it.
    """
    require_device(name, "float32")


def writer(config: pytest.Config) -> str:
    """Return the device whose trainings become baselines, the first that is there: one baseline serves all."""
    names = [*_chosen(config), *_required(config)]
    return next((name for name in names if not _missing(name)), names[0])
