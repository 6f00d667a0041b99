"""The fixtures: `device`, `training`, `ranks` and `training_regression`."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.plugin import devices
from harness.plugin.session import SESSION


if TYPE_CHECKING:
    from harness.elsewhere.ranks import Ranks
    from harness.plugin.regression import TrainingRegression
    from harness.recipe import Recipe
    from harness.record.record import Record


@pytest.fixture(scope="session", name=devices.PARAMETER)
def _device(request: pytest.FixtureRequest) -> str:
    name: str = getattr(request, "param", None) or devices.writer(request.config)  # none under getfixturevalue
    devices.require(name)
    return name


@pytest.fixture(scope="session")
def device(_training_device: str) -> str:
    """Name of a device, cpu, cuda or mps: tests that use it run once on each of the machine's (`--training-device`)."""
    return _training_device


@pytest.fixture(scope="session")
def training(request: pytest.FixtureRequest, _training_device: str) -> "Callable[[Recipe], Record]":
    """Function that runs a recipe on the device and returns its record; equal recipes are trained once a session."""
    import_what_trains()
    session = request.config.stash[SESSION]
    session.code.remember()  # before any test has replaced some of it
    return lambda recipe: session.train(recipe, _training_device)


@pytest.fixture(scope="session")
def ranks(request: pytest.FixtureRequest) -> "Ranks":
    """`ranks(function, world_size=2)` runs a function of a module on every rank of a process group (`Ranks`)."""
    return request.config.stash[SESSION].ranks


@pytest.fixture
def training_regression(request: pytest.FixtureRequest) -> "TrainingRegression":
    """`training_regression.check(record)` compares a record with this test's baseline."""
    if "torch" in sys.modules:  # else the test reads event files, or imports torch itself
        import_what_trains()
    from harness.plugin.regression import TrainingRegression

    session = request.config.stash[SESSION]
    session.report.kept.mkdir(exist_ok=True)  # here: a child that is forked would make another
    return TrainingRegression(request.node, session)


_COMPILER = "torch._dynamo"
"""The first optimizer imports it, and with it most of what torch has."""


def import_what_trains() -> None:
    """Import torch, if this process has not, and leave it to no garbage collection.

    torch makes a million objects, none of which is ever garbage. Looking through them while they are made, and again
    at the end of the session, where pytest collects garbage twice, takes a second of the few that a verdict takes.
    """
    if _COMPILER in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        with contextlib.suppress(Exception):  # the training that needs it says what is wrong
            importlib.import_module(_COMPILER)
            importlib.import_module("harness.shipped.loop")
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
