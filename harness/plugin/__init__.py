"""The pytest plugin: options, fixtures and hooks, each a few lines and a call. Heavy imports stay inside them."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from harness.baselines.files import check_writable
from harness.errors import EventsError, HarnessError
from harness.plugin import devices, options
from harness.plugin.fixtures import import_what_trains
from harness.plugin.messages import messages
from harness.plugin.session import SESSION, Session


if TYPE_CHECKING:
    from harness.plugin.regression import TrainingRegression
    from harness.recipe import Recipe
    from harness.record.record import Record


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the group "training regression"."""
    options.add(parser)


@pytest.hookimpl(tryfirst=True)  # pytest-mpl reads its options in its own pytest_configure
def pytest_configure(config: pytest.Config) -> None:
    """Check the options, prepare pytest-mpl, and register what only some sessions need."""
    from harness.plugin import pytest_mpl

    config.addinivalue_line("markers", "device(name): run this test on one device only: cpu, cuda or mps")
    try:
        devices.check_options(config)
        config.stash[SESSION] = session = Session(config)
        config.add_cleanup(session.reruns.close)
        if config.getoption("--tensorboard"):
            check_writable(session.tensorboard, EventsError.unwritten)
        if session.assignment:
            session.perturb()
            pytest_mpl.leave_figures(config)
        else:
            pytest_mpl.configure(config)
            options.check_writing(config, writes=session.generate_path is not None)
            session.outcome.prepare(session.history)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    if config.pluginmanager.hasplugin("xdist"):
        from harness.plugin.xdist import Workers

        config.pluginmanager.register(Workers(), "training_regression_workers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave one test to a process that was started to rerun it."""
    if assignment := config.stash[SESSION].assignment:
        items[:] = [item for item in items if item.nodeid == assignment.nodeid]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is compared with what."""
    return config.stash[SESSION].header()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use our `device` fixture once a device; a project's own fixture or parameter of that name wins."""
    if devices.PARAMETER in metafunc.fixturenames:
        try:
            found = devices.parameters(metafunc)
        except HarnessError as error:
            raise pytest.Collector.CollectError(str(error)) from None
        metafunc.parametrize(devices.PARAMETER, found, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Show our errors as messages, without a traceback through the harness."""
    with messages():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Show our errors as messages, without a traceback through the harness."""
    with messages():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Show our errors as messages, without a traceback through the harness."""
    with messages():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was trained and compared, and how long it took."""
    from harness.plugin.summary import write_summary

    write_summary(terminalreporter, config.stash[SESSION])


@pytest.fixture(scope="session", name=devices.PARAMETER)
def _device(request: pytest.FixtureRequest) -> str:
    name: str = getattr(request, "param", None) or devices.writer(request.config)  # none under getfixturevalue
    devices.require(name)
    return name


@pytest.fixture(scope="session")
def device(_training_device: str) -> str:
    """Name of a device, cpu, cuda or mps: tests that use it run once on each that the machine has (`--device`)."""
    return _training_device


@pytest.fixture(scope="session")
def training(request: pytest.FixtureRequest, device: str) -> "Callable[[Recipe], Record]":
    """Function that runs a recipe on the device and returns its record; equal recipes are trained once a session."""
    import_what_trains()
    session = request.config.stash[SESSION]
    return lambda recipe: session.train(recipe, device)


@pytest.fixture
def training_regression(request: pytest.FixtureRequest) -> "TrainingRegression":
    """`training_regression.check(record)` compares a record with this test's baseline."""
    if "torch" in sys.modules:  # else the test reads event files, or imports torch itself
        import_what_trains()
    from harness.plugin.regression import TrainingRegression

    return TrainingRegression(request.node, request.config.stash[SESSION])


@pytest.hookimpl(trylast=True)  # after pytest-xdist has collected what its workers counted
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report, hand a worker's counts to its session; fail over orphans under --strict, and a full disk."""
    state = session.config.stash[SESSION]
    state.finish()
    failed = state.counts.problems or (state.strict and state.counts.orphans)
    if failed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["training_regression"] = dataclasses.asdict(state.counts)
