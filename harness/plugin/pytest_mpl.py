"""Figure tests: pytest-mpl compares, and what it cannot do is done around it; here is what we know of its session.

Used are its marker's arguments, its options and its results folder, and a few names that it does not document
(`PRIVATE`). Around each test of ours: a baseline of its own, style and backend while fixtures are built, and what
`FigureCheck` makes of it: a message where there is nothing to compare, a command that accepts the figure, files that
are whole or not there.
"""

import contextlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import scratch
from harness.baselines.store import baseline_name
from harness.errors import BaselineWriteError, HarnessError, OutputError, SuiteError
from harness.plugin.figure_check import FigureCheck
from harness.plugin.messages import messages, refuse
from harness.plugin.ownership import MARKER, is_ours
from harness.plugin.session import SESSION, Session


_MARKER_OPTIONS = (
    "backend",
    "baseline_dir",
    "deterministic",
    "filename",
    "hash_library",
    "remove_text",
    "savefig_kwargs",
    "skip_hash",
    "style",
    "tolerance",
)
"""What pytest-mpl 0.19 reads from its marker; it ignores anything else."""
PRIVATE = (
    "generate_dir",
    "results_always",
    "results_dir",
    "use_full_test_name",
    "return_value",
    "make_test_results_dir",
)
"""What we use of `pytest_mpl.plugin.ImageComparison`, beside `generate_test_name`, that it does not document."""


def configure(config: pytest.Config) -> None:
    """Register our hooks beside pytest-mpl's."""
    if config.pluginmanager.hasplugin("pytest_mpl"):
        config.pluginmanager.register(FigureGate(config.stash[SESSION]))


def leave_figures(config: pytest.Config) -> None:
    """Let pytest-mpl neither compare nor write: figures of a rerun are nobody's."""
    config.option.mpl, config.option.mpl_generate_path, config.option.mpl_generate_hash_library = False, None, None


class FigureGate:
    """Hooks around every figure test of ours; the others are left to pytest-mpl."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mpl: Any = None
        self._draws = False

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Find pytest-mpl's plugin of this session: one that compares, or one that only closes figures."""
        plugins = [plugin for _, plugin in session.config.pluginmanager.list_name_plugin()]  # not all can be hashed
        self._mpl = next(plugin for plugin in plugins if type(plugin).__name__ in ("ImageComparison", "FigureCloser"))
        self._draws = type(self._mpl).__name__ == "ImageComparison"

    def _figure(self, item: pytest.Item) -> FigureCheck | None:
        """Return the figure of a test; None of a test that draws none, or that is left to pytest-mpl."""
        drawn = item.get_closest_marker(MARKER) and is_ours(item)
        return FigureCheck(item, self._session, self._mpl) if drawn else None

    @pytest.hookimpl(tryfirst=True)  # before claims are made, which are registered earlier
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Give every figure test of ours a baseline of its own; check the marker's options."""
        try:
            ours = [figure for item in items if (figure := self._figure(item))]
            for figure in ours:
                self._prepare(figure)
            if ours and self._draws:
                self._settle()
        except HarnessError as error:
            refuse(config, error)

    def _prepare(self, figure: FigureCheck) -> None:
        given = figure.marker.kwargs
        for option in given.keys() - {*_MARKER_OPTIONS}:
            raise SuiteError.marker_option(option=option, nodeid=figure.id, known=_MARKER_OPTIONS)
        if not math.isfinite(figure.tolerance):
            raise SuiteError.tolerance(nodeid=figure.id, value=figure.tolerance)
        name, folder = figure.name, str(self._session.baselines)  # which refuses a URL
        own = {"filename": f"{name}.{figure.form}", "baseline_dir": folder, **given}
        if self._session.against:  # whose figures are all in one folder
            own["baseline_dir"] = folder
        figure.item.add_marker(pytest.mark.mpl_image_compare(**own), append=False)

    def _settle(self) -> None:
        """Have pytest-mpl keep its pictures, from which margins are read, in a known folder, not in a temporary one."""
        config = self._session.config
        always = config.getini("mpl-results-always")
        if isinstance(always, str) and always.strip().lower() in ("false", "no", "off", "0"):
            raise SuiteError.results_always(value=always, path=config.inipath)
        self._mpl.results_always = True
        if not (config.getoption("--mpl-results-path") or config.getini("mpl-results-path")):
            self._session.open_output()
            try:
                self._mpl.results_dir = self._session.figures
                self._session.figures.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError.of(path=self._session.output, reason=error) from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Build figures of fixtures under the style and backend that the test itself gets."""
        figure = self._figure(item) if self._draws else None
        with _drawing(figure) if figure else contextlib.nullcontext():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-mpl's own wrapper
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count a figure test of ours, and see to it that it is compared or generated."""
        if not (figure := self._figure(item)):
            yield
            return
        with messages(), _lent(item), self._staged() as staging:
            figure.begin(draws=self._draws)
            try:
                yield
            except pytest.skip.Exception:
                if not figure.returned:  # else pytest-mpl's, which says that it has generated an image
                    raise
            except (Exception, pytest.fail.Exception) as error:
                if figure.returned and figure.is_apart(figure.baseline):
                    return
                raise figure.failure(error) from None
            figure.finish(staging)

    @contextlib.contextmanager
    def _staged(self) -> Iterator[Path | None]:
        """Have pytest-mpl write a figure in a folder of its own, by our name: it takes its place when it is whole."""
        if not self._draws:
            yield None
            return
        former = self._mpl.generate_dir, self._mpl.use_full_test_name
        try:
            staging = scratch.new_folder() if self._session.generate_path is not None else None
        except OSError as error:
            raise BaselineWriteError.of(path="the folder for temporary files (TMPDIR)", reason=error) from error
        self._mpl.generate_dir, self._mpl.use_full_test_name = staging, False
        try:
            yield staging
        finally:
            self._mpl.generate_dir, self._mpl.use_full_test_name = former
            shutil.rmtree(staging or "", ignore_errors=True)


@contextlib.contextmanager
def _lent(item: pytest.Item) -> Iterator[None]:
    """Lend pytest-mpl a test whose name is that of a folder: it breaks on some ids, and has one folder for others.

    It also leaves its wrapper in the test, which a rerun would wrap.
    """
    name, function = item.name, item.obj  # type: ignore[attr-defined] # only functions carry the marker
    item.name = baseline_name(item.nodeid.partition("::")[2])
    try:
        yield
    finally:
        item.name, item.obj = name, function  # type: ignore[attr-defined] # as above


@contextlib.contextmanager
def _drawing(figure: FigureCheck) -> Iterator[None]:
    """Draw under the style and backend that pytest-mpl would use for a test."""
    import matplotlib
    import matplotlib.pyplot as plt

    backend = matplotlib.get_backend()
    with plt.style.context(figure.setting("style"), after_reset=True):
        plt.switch_backend(figure.setting("backend"))
        try:
            yield
        finally:
            plt.switch_backend(backend)
