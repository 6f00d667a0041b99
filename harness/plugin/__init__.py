"""The pytest plugin: options, fixtures and hooks, each a few lines and a call. Heavy imports stay inside them."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from harness.atomic_files import check_writable
from harness.elsewhere import imports
from harness.elsewhere.rerun import Assignment
from harness.elsewhere.sessions import Order
from harness.errors import EventsError, HarnessError
from harness.explaining import files_read
from harness.plugin import devices, options, whole_project
from harness.plugin.against import Ready
from harness.plugin.claims import CLAIMS, Claims
from harness.plugin.fixtures import _device, device, ranks, training, training_regression  # noqa: F401 # pytest looks here
from harness.plugin.in_tree import InTree, carry_out
from harness.plugin.messages import messages, put_cause_first
from harness.plugin.on_worker import OnWorker
from harness.plugin.ownership import uses
from harness.plugin.sending import Sending
from harness.plugin.session import SESSION, Session, noting_builders
from harness.plugin.verdict import Status


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; from here on, import what a tree has, and note what is read where that is asked for."""
    imports.follow()
    if (assigned := Assignment.from_environment()) and assigned.step is not None:
        files_read.noted()
    options.add(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> Iterator[None]:
    """Refuse in a sentence that a conftest.py adds an option of one of our names; note what it builds, to be named."""
    with options.refusing_twins(), noting_builders(early_config):
        yield
        with contextlib.suppress(pytest.UsageError):  # of other options, which pytest says itself
            parser.parse_known_args([])  # older releases of pytest find two options of one name only here


@pytest.hookimpl(tryfirst=True)  # pytest-mpl reads its options in its own pytest_configure
def pytest_configure(config: pytest.Config) -> None:
    """Check the options, prepare pytest-mpl, and register what only some sessions need."""
    from harness.plugin import pytest_mpl

    marker = "device(name): run this test on one device only: cpu, cuda or mps, or a model of one (cuda:H100)"
    config.addinivalue_line("markers", marker)
    try:
        options.check_ini(config)
        devices.check_options(config)
        if order := Order.from_environment():
            carry_out(config, order)
        config.stash[SESSION] = session = Session(config)
        config.add_cleanup(session.reruns.close)
        if config.getoption("--training-tensorboard"):
            check_writable(session.tensorboard, EventsError.unwritten)
        if session.task:
            session.perturb()
            pytest_mpl.leave_figures(config)
            if session.errand:
                config.pluginmanager.register(OnWorker(config, session.errand))
        else:
            if whole_project.asked():
                whole_project.widen(config)
            config.stash[CLAIMS] = claims = Claims(session)
            config.pluginmanager.register(claims)  # without a name: nobody has it, and -p no:NAME leaves the gate whole
            config.pluginmanager.register(Status())
            pytest_mpl.configure(config)
            options.check_together(config, writes=session.generate_path is not None)
            session.report.prepare(session.history)
            _register_making(config, order, claims, session)
            if config.getoption("--training-on"):
                config.pluginmanager.register(Sending.of(config, session))
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    if config.pluginmanager.hasplugin("xdist"):
        from harness.plugin.xdist import Workers

        config.pluginmanager.register(Workers())


def _register_making(config: pytest.Config, order: Order | None, claims: Claims, session: Session) -> None:
    """Register what makes baselines for another session, or has another make those of this one."""
    if order:
        config.pluginmanager.register(InTree(order, claims, session))
    elif session.against:
        config.pluginmanager.register(Ready(session.against, claims, session))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave one test to a process that was started for it."""
    from harness.plugin.gated_test import id_of

    if task := config.stash[SESSION].task:
        items[:] = [item for item in items if id_of(item) == task.test][:1]  # pytest-repeat has several


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use our `device` fixture once a device; a project's own fixture or parameter of that name wins."""
    if uses(metafunc.definition, devices.PARAMETER):
        try:
            found = devices.parameters(metafunc)
        except HarnessError as error:
            raise pytest.Collector.CollectError(str(error)) from None
        metafunc.parametrize(devices.PARAMETER, found, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Show our errors as messages, without a traceback through the harness."""
    with messages(), item.config.stash[SESSION].giving_up():
        yield


pytest_runtest_setup = pytest_runtest_call


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Show our errors as messages, without a traceback through the harness."""
    with messages():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the line that sums up a failure of ours begin with its cause."""
    report = yield
    put_cause_first(report, call.excinfo)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was trained and compared, and how long it took."""
    from harness.plugin.summary import write_summary

    write_summary(terminalreporter, config.stash[SESSION])


@pytest.hookimpl(trylast=True)  # after pytest-xdist has collected what its workers counted
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report, hand a worker's counts to its session; fail over what no test failed for."""
    state = session.config.stash[SESSION]
    if foreign := imports.foreign_code():
        state.counts.add_problem(foreign)
    if claims := session.config.stash.get(CLAIMS, None):
        claims.conclude()
    if claims and claims.is_empty_shard and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK  # there are more jobs than files
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["training_regression"] = dataclasses.asdict(state.counts)
