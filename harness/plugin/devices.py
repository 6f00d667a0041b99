"""Which devices a session trains on."""

from typing import Any

import pytest

from harness.errors import DeviceError, NoDeviceError
from harness.record.environment import DEVICES, available_devices, describe, require_device


PARAMETER = "_training_device"
"""The fixture behind `device` that carries the parameter: it is there only where `device` is ours."""

_PARAMETERS = pytest.StashKey[list[Any]]()
"""Those of every test without a `device` marker; a session may have thousands."""


def check_options(config: pytest.Config) -> None:
    """Check the names in --training-device and --training-require-device.

    Raises:
        DeviceError: one is unknown.
    """
    for device in _listed(config, "--training-device") + _required(config):
        if device not in DEVICES:
            raise DeviceError.unknown(device=device, known=DEVICES)


def _listed(config: pytest.Config, option: str) -> list[str]:
    names = (config.getoption(option) or "").split(",")
    return [name.strip() for name in names if name.strip()]


def _required(config: pytest.Config) -> list[str]:
    return _listed(config, "--training-require-device")


def _wanted(config: pytest.Config) -> list[str]:
    return [*(_listed(config, "--training-device") or available_devices()), *_required(config)]


def parameters(metafunc: pytest.Metafunc) -> list[Any]:
    """Return the devices of one test: its `device` marker's, or the session's; missing ones are marked as skipped.

    Raises:
        DeviceError: the marker names something else.
    """
    config = metafunc.config
    marked = [str(name) for mark in metafunc.definition.iter_markers("device") for name in mark.args]
    for name in marked:
        if kind_of(name) not in DEVICES:
            raise DeviceError.marked(nodeid=metafunc.definition.nodeid, device=name, known=DEVICES)
    if config.getoption("--training-on") and "training_regression" in metafunc.fixturenames:
        names = [*map(kind_of, marked)] or _wanted(config)
        return [pytest.param(name, id=name) for name in dict.fromkeys(names)]  # a worker says what it lacks
    if marked:
        return _parameters(config, marked)
    if _PARAMETERS not in config.stash:
        config.stash[_PARAMETERS] = _parameters(config, _wanted(config))
    return config.stash[_PARAMETERS]


def _parameters(config: pytest.Config, names: list[str]) -> list[Any]:
    return [_parameter(name, kind_of(name) in _required(config)) for name in dict.fromkeys(names)]


def _parameter(name: str, required: bool) -> Any:
    missing, any_model = _missing(name), _missing(kind_of(name))
    fails = required and any_model  # of a required device that is there it may be another model
    marks = [pytest.mark.skip(reason=missing)] if missing and not fails else []
    return pytest.param(kind_of(name), id=kind_of(name), marks=marks)


def kind_of(name: str) -> str:
    """Return the device of a name that may say its model: "cuda" of "cuda:H100"."""
    return name.partition(":")[0]


def model_of(name: str) -> str:
    """Return the model that a name asks for: "H100" of "cuda:H100"; empty for any."""
    return name.partition(":")[2]


def _missing(name: str) -> str:
    try:
        require(kind_of(name))
    except NoDeviceError as error:
        return str(error).splitlines()[0]
    model = model_of(name)
    found = describe(kind_of(name))["device"] if model else ""
    return "" if model in found else f"this machine has no {name} device: it has {found}"


def require(name: str) -> None:
    """Check that this machine has a device.

    Raises:
        DeviceError: there is no such device.
        NoDeviceError: this machine lacks it.
    """
    require_device(name, "float32")


def writer(config: pytest.Config) -> str:
    """Return the device whose trainings become baselines, the first that is there: one baseline serves all."""
    names = _wanted(config)
    return next((name for name in names if not _missing(name)), names[0])


def device_of(item: pytest.Item) -> str | None:
    """Return the value of a test's `device` parameter."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(PARAMETER) if callspec else None
