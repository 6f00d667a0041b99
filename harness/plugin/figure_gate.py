"""Close the holes of pytest-mpl: names, settings, figures that are not compared, files that are half written."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.baselines import baseline_name, check_writable, move, orphans
from harness.errors import (
    HarnessError,
    MarkerOptionError,
    NotAFigureError,
    NotComparedError,
    ResultsAlwaysError,
    SharedBaselineError,
)
from harness.plugin.messages import messages
from harness.plugin.regression import device_of, regenerate_command, skip_unless_writer
from harness.plugin.session import SESSION, Session


__all__ = ["FigureGate", "configure"]

_MARKER = "mpl_image_compare"
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


def configure(config: pytest.Config) -> None:
    """Set up pytest-mpl for this session, before it reads its options, and register the gate.

    Raises:
        BaselineWriteError: baselines cannot be written to --mpl-generate-path.
        ResultsAlwaysError: the ini file says False where pytest-mpl reads true.
    """
    if not config.pluginmanager.hasplugin("pytest_mpl"):
        return
    session = config.stash[SESSION]
    staging = _stage_generated_files(config)
    if session.in_use:
        _settle_options(config, session)
    config.pluginmanager.register(FigureGate(session, staging), "training_regression_figures")


def _stage_generated_files(config: pytest.Config) -> Path | None:
    """Let pytest-mpl write elsewhere: figures take their place one by one, when they are whole."""
    option = config.option
    given = getattr(option, "training_generate_path", None) or option.mpl_generate_path
    if given is None:
        return None
    target = Path(given).absolute()
    check_writable(target)
    staging = tempfile.mkdtemp(prefix="training-regression-")
    option.training_generate_path, option.mpl_generate_path = str(target), staging
    return Path(staging)


def _settle_options(config: pytest.Config, session: Session) -> None:
    option = config.option
    always = config.getini("mpl-results-always")
    if isinstance(always, str) and always.strip().lower() in ("false", "no", "off", "0"):
        raise ResultsAlwaysError(value=always, path=config.inipath)
    option.mpl_results_always = True  # the margin of a figure that passes is read from what this keeps
    if not (option.mpl_results_path or config.getini("mpl-results-path")):
        option.mpl_results_path = str(session.output / "figures")
        if not hasattr(config, "workerinput"):
            shutil.rmtree(option.mpl_results_path, ignore_errors=True)  # of an earlier session
    ini = config.getini("mpl-baseline-path")
    if ini and not option.mpl_baseline_path and not option.mpl_generate_path and not re.match("https?://", ini):
        option.mpl_baseline_path = str(config.rootpath / ini)  # pytest-mpl would take it relative to the shell's folder


class FigureGate:
    """Hooks around every figure test.

    Args:
        session: the session's state.
        staging: folder that pytest-mpl generates figures in, or None if it compares.
    """

    def __init__(self, session: Session, staging: Path | None) -> None:
        self._session = session
        self._staging = staging
        self._claimed: dict[str, str] = {}
        self._drawn: dict[str, bool] = {}
        self._complete = True

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Give every test of ours a baseline of its own; check the marker's options."""
        try:
            for item in items:
                self._prepare(config, item)
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from error

    def _prepare(self, config: pytest.Config, item: pytest.Item) -> None:
        if not _ours(config, item):
            self._complete = self._complete and not item.get_closest_marker(_MARKER)
            return
        name = baseline_name(item.nodeid, device_of(item))
        if "training_regression" in getattr(item, "fixturenames", ()):
            self._claim(f"{name}.json", item)
        if marker := item.get_closest_marker(_MARKER):
            _check_options(item, marker)
            settings = self._settings(name, marker)
            item.add_marker(pytest.mark.mpl_image_compare(**settings), append=False)
            self._claim(settings["filename"], item)

    def _settings(self, name: str, marker: pytest.Mark) -> dict[str, Any]:
        extension = marker.kwargs.get("savefig_kwargs", {}).get("format", "png")
        own = {"filename": f"{name}.{extension}", "baseline_dir": str(self._session.baselines)}
        return {**own, **marker.kwargs}

    def _claim(self, file: str, item: pytest.Item) -> None:
        """Note whose a file is; names that differ in case only are one file on some systems."""
        owner = baseline_name(item.nodeid, device_of(item))
        first = self._claimed.setdefault(file.lower(), owner)
        if first != owner:
            raise SharedBaselineError(file=file, first=first, second=owner)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that the session does not see all tests."""
        self._complete = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Look for baselines that no test claims, if this session sees all tests and all were collected."""
        if self._claimed and self._complete and _sees_all(session):
            self._session.counts.orphans = orphans(self._session.baselines, self._claimed)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Build figures of fixtures under the style and backend that the test itself gets."""
        marker = item.get_closest_marker(_MARKER)
        if not (marker and self._session.comparing_figures and _ours(item.config, item)):
            yield
            return
        with _drawing(item.config, marker):
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-mpl's own wrapper
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count a figure test, and see to it that it is compared or generated."""
        if not item.get_closest_marker(_MARKER):
            yield
            return
        original = item.obj  # type: ignore[attr-defined] # only functions carry the marker
        with messages():
            if _ours(item.config, item):
                self._check_will_compare(item)
                item.obj = self._returning_figure(item, original)  # type: ignore[attr-defined] # as above
            try:
                yield
            except pytest.skip.Exception as skipped:
                if not (self._staging and "generating image" in str(skipped)):
                    raise
            except pytest.fail.Exception as failed:
                raise self._failure(item, failed) from None
            finally:
                item.obj = original  # type: ignore[attr-defined] # a rerun must not wrap pytest-mpl's wrapper
            self._finish(item)

    def _failure(self, item: pytest.Item, failed: BaseException) -> BaseException:
        """Add the accepting command to pytest-mpl's failures; leave those of the test itself alone."""
        if not self._drawn.pop(item.nodeid, False):
            return failed
        self._count()
        return pytest.fail.Exception(f"{failed}\n  accept    {regenerate_command(item)}", pytrace=False)

    def _check_will_compare(self, item: pytest.Item) -> None:
        if self._staging:
            skip_unless_writer(item)
        elif not self._session.comparing_figures:
            self._session.counts.not_compared += 1
            if _in_ci():
                raise NotComparedError(nodeid=item.nodeid)

    def _finish(self, item: pytest.Item) -> None:
        if self._staging:
            for file in self._staging.iterdir():
                move(file, self._session.baselines / file.name)
                self._session.counts.generated += 1
        elif self._session.comparing_figures:
            self._count()
            rms = _rms(item)
            item.user_properties.append(("figure_rms", rms))
            self._session.counts.largest_rms = max(self._session.counts.largest_rms, rms)

    def _count(self) -> None:
        if self._session.comparing_figures and not self._staging:
            self._session.counts.figures_compared += 1

    def _returning_figure(self, item: pytest.Item, function: Callable[..., object]) -> Callable[..., object]:
        def checked(*args: object, **kwargs: object) -> object:
            figure = function(*args, **kwargs)
            if not hasattr(figure, "savefig"):
                raise NotAFigureError(found=type(figure).__name__, nodeid=item.nodeid)
            self._drawn[item.nodeid] = True
            return figure

        return checked


def _ours(config: pytest.Config, item: pytest.Item) -> bool:
    """Tell whether a test's baselines are ours: the project says so, or the test uses our fixtures."""
    fixtures = getattr(item, "fixturenames", ())
    opted_in = bool(config.getini("training_baselines"))
    return opted_in or not {"training", "training_regression"}.isdisjoint(fixtures)


def _check_options(item: pytest.Item, marker: pytest.Mark) -> None:
    for option in marker.kwargs:
        if option not in _MARKER_OPTIONS:
            raise MarkerOptionError(option=option, nodeid=item.nodeid, known=", ".join(_MARKER_OPTIONS))


def _sees_all(session: pytest.Session) -> bool:
    config = session.config
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    narrowed = any(config.getoption(name, None) for name in ("lf", "ignore", "ignore_glob", "stepwise"))
    return whole and not narrowed and not session.testsfailed


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@contextlib.contextmanager
def _drawing(config: pytest.Config, marker: pytest.Mark) -> Iterator[None]:
    import matplotlib
    import matplotlib.pyplot as plt

    def setting(name: str, default: str) -> Any:
        option = f"mpl-default-{name}"
        return marker.kwargs.get(name) or config.getoption(f"--{option}") or config.getini(option) or default

    backend = matplotlib.get_backend()
    with plt.style.context(setting("style", "classic"), after_reset=True):
        plt.switch_backend(setting("backend", "agg"))
        try:
            yield
        finally:
            plt.switch_backend(backend)


def _rms(item: pytest.Item) -> float:
    """Return the root mean square difference in grey levels, which pytest-mpl leaves out when a figure passes."""
    import numpy as np
    from PIL import Image
    from pytest_mpl.plugin import generate_test_name, pathify

    folder = Path(item.config.pytest_mpl_results_dir) / pathify(generate_test_name(item))  # type: ignore[attr-defined] # pytest-mpl sets it
    files = [folder / "baseline.png", folder / "result.png"]
    if not all(file.exists() for file in files):  # another format than PNG, or a hash library
        return 0.0
    one, other = (np.asarray(Image.open(file).convert("RGB"), dtype=np.float64) for file in files)
    return float(np.sqrt(np.mean((one - other) ** 2)))
