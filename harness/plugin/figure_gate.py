"""Hooks that close the holes of pytest-mpl: names, figures that are not compared, files that are half written."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.baselines import baseline_name, check_figure, orphans, save_figure
from harness.errors import HarnessError, NotAFigureError, NotComparedError, OutputWriteError, SharedBaselineError
from harness.files import check_writable
from harness.plugin import devices, offers
from harness.plugin.checked import regenerate_command
from harness.plugin.figure_comparison import FigureComparison, changed_versions
from harness.plugin.figure_outcome import draw_sheet, figure_outcome, figure_rms, unwritten
from harness.plugin.figure_settings import (
    MARKER,
    baseline_of,
    check_marker,
    drawing,
    is_ours,
    settle,
    stage_generated_files,
    with_baseline,
)
from harness.plugin.messages import messages
from harness.plugin.outcome import check_of
from harness.plugin.refusal import refuse
from harness.plugin.selection import in_ci, sees_all, select
from harness.plugin.session import SESSION, Session


__all__ = ["FigureGate", "configure"]


def configure(config: pytest.Config) -> None:
    """Set up pytest-mpl for this session, before it reads its options, and register the gate.

    Raises:
        BaselineWriteError: baselines cannot be written to --mpl-generate-path.
    """
    if not config.pluginmanager.hasplugin("pytest_mpl"):
        return
    gate = FigureGate(config.stash[SESSION], stage_generated_files(config))
    config.pluginmanager.register(gate, "training_regression_figures")


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
        self._files: dict[str, list[str]] = {}
        self._complete = True
        self._mpl: Any = None
        self._comparison: FigureComparison | None = None
        self._full_names = False

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Find pytest-mpl's comparing plugin, if this session has one, and have it compare our way."""
        plugins = session.config.pluginmanager.get_plugins()
        self._mpl = next((plugin for plugin in plugins if type(plugin).__name__ == "ImageComparison"), None)
        if self._mpl:
            self._full_names = self._mpl.use_full_test_name
            self._comparison = FigureComparison(self._mpl, self._session)

    def _results(self, item: pytest.Item) -> Path:
        assert self._comparison is not None, "pytest-mpl has drawn"
        return self._comparison.folder(item)

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Give every test of ours a baseline of its own; check the marker's options."""
        try:
            for item in items:
                self._prepare(config, item)
            if self._claimed and not config.option.collectonly:
                check_writable(self._session.output, OutputWriteError)
            if self._mpl and self._claimed:
                settle(self._mpl, self._session)
            select(config, self._session, items, self._files)
        except HarnessError as error:
            refuse(config, error)

    def _prepare(self, config: pytest.Config, item: pytest.Item) -> None:
        if not is_ours(config, item):
            self._complete = self._complete and not item.get_closest_marker(MARKER)
            return
        name = baseline_name(item.nodeid, devices.device_of(item))
        folder = self._session.baselines
        if "training_regression" in getattr(item, "fixturenames", ()):
            self._claim(f"{name}.json", name)
            self._files.setdefault(item.nodeid, []).append(f"{name}.json")
        if marker := item.get_closest_marker(MARKER):
            check_marker(item, marker)
            settings = with_baseline(marker, name, folder)
            item.add_marker(pytest.mark.mpl_image_compare(**settings), append=False)
            self._claim(settings["filename"], name)
            self._files.setdefault(item.nodeid, []).append(settings["filename"])

    def _claim(self, file: str, owner: str) -> None:
        """Note whose a file is; names that differ in case only are one file on some systems."""
        first = self._claimed.setdefault(file.lower(), owner)
        if first != owner:
            raise SharedBaselineError(file=file, first=first, second=owner)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that the session does not see all tests."""
        self._complete = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Look for baselines that no test claims, if this session sees all tests and all were collected."""
        self._session.counts.claimed = len(self._claimed)
        if self._claimed and self._complete and sees_all(session):
            self._session.counts.whole = True
            self._session.counts.orphans = orphans(self._session.baselines, self._claimed)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Build figures of fixtures under the style and backend that the test itself gets."""
        marker = item.get_closest_marker(MARKER)
        if not (marker and self._mpl and is_ours(item.config, item)):
            yield
            return
        with drawing(item.config, marker):
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-mpl's own wrapper
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count a figure test, and see to it that it is compared or generated."""
        if not item.get_closest_marker(MARKER):
            yield
            return
        self._clear_staging()
        original = item.obj  # type: ignore[attr-defined] # only functions carry the marker
        with messages():
            ours = is_ours(item.config, item)
            if self._mpl:
                self._mpl.use_full_test_name = self._full_names and not ours  # it would override our file names
            if ours:
                self._check_will_compare(item)
                if self._mpl:
                    offers.withdrawn(item, self._session, baseline_of(item))
                item.obj = self._returning_figure(item, original)  # type: ignore[attr-defined] # as above
            try:
                yield
            except pytest.skip.Exception as skipped:
                if not (self._staging and "generating image" in str(skipped)):
                    raise
            except pytest.fail.Exception as failed:
                raise self._failure(item, failed) from None
            except OSError as error:
                raise self._unwritten(item, error) from error
            finally:
                item.obj = original  # type: ignore[attr-defined] # a rerun must not wrap pytest-mpl's wrapper
            self._finish(item)

    def _failure(self, item: pytest.Item, failed: BaseException) -> BaseException:
        """Add the accepting command to pytest-mpl's failures; leave those of the test itself alone."""
        if not self._drawn.pop(item.nodeid, False):
            return failed
        self._count()
        look = [self._session.outcome.page]
        with self._session.outcome.noted():
            look += draw_sheet(self._results(item))
        accept = self._accept(item)
        shown = "".join(f"\n  look      {self._session.shown(path)}" for path in look)
        versions = changed_versions(baseline_of(item))
        changed = versions and f"\n  changed   {versions}"
        text = f"{failed}{changed}{shown}\n  accept    {accept}"
        self._keep(item, passed=False, text=text, accept=accept)
        return pytest.fail.Exception(text, pytrace=False)

    def _unwritten(self, item: pytest.Item, error: OSError) -> Exception:
        """Say in words that a figure could not be saved; leave errors of the test itself alone."""
        if not self._drawn.pop(item.nodeid, False):
            return error
        return unwritten(error, self._session, baseline_of(item) if self._staging else self._results(item))

    def _clear_staging(self) -> None:
        """Remove what a test left that failed while its figure was saved: half a figure is no baseline."""
        for file in self._staging.iterdir() if self._staging else ():
            file.unlink()

    def _accept(self, item: pytest.Item) -> str:
        """Keep the figure that differs from its baseline; return the command line that accepts it."""
        baseline = baseline_of(item)
        result = self._results(item) / f"result{baseline.suffix}"
        if not (baseline.is_file() and result.is_file()):
            return regenerate_command(item, self._session)
        from harness.report import figure_difference

        difference = figure_difference(figure_rms(self._results(item)))
        return offers.keep(item, self._session, baseline, result.read_bytes(), difference=difference)[1]

    def _check_will_compare(self, item: pytest.Item) -> None:
        if self._staging:
            devices.skip_unless_writer(item)
        elif not self._session.comparing_figures:
            self._session.counts.not_compared += 1
            if in_ci():
                raise NotComparedError(nodeid=item.nodeid)
        else:
            self._check_baseline(item)

    def _check_baseline(self, item: pytest.Item) -> None:
        path, command = baseline_of(item), regenerate_command(item, self._session)
        try:
            check_figure(path, command, self._session.shown(path))
        except HarnessError as error:
            self._keep(item, passed=False, text=str(error), accept=command)
            raise

    def _finish(self, item: pytest.Item) -> None:
        if self._staging:
            for file in self._staging.iterdir():
                self._save(file)
        elif self._mpl and is_ours(item.config, item):
            self._count()
            note = self._comparison.passed(item) if self._comparison else ""
            rms = self._keep(item, passed=True, text=note, accept=regenerate_command(item, self._session))
            self._session.counts.passed += 1
            self._session.counts.largest_rms = max(self._session.counts.largest_rms, rms or 0.0)

    def _save(self, file: Path) -> None:
        """Put a generated figure in its baseline's place."""
        target = self._session.baselines / file.name
        if not (self._session.only_missing and target.exists()):
            save_figure(target, file.read_bytes(), self._session.provenance)
            self._session.counts.generated += 1
        file.unlink()

    def _keep(self, item: pytest.Item, *, passed: bool, text: str, accept: str) -> float | None:
        """Keep what became of a figure for the report; return how far it is from its baseline, if that is known."""
        marker = item.get_closest_marker(MARKER)
        if not (marker and self._mpl and not self._staging and is_ours(item.config, item)):
            return None
        tolerance = float(marker.kwargs.get("tolerance", self._mpl.default_tolerance))
        folder, session = self._results(item), self._session
        check, rms = check_of(item, "", accept), figure_rms(folder)
        found = figure_outcome(check, session, folder, rms=rms, tolerance=tolerance, passed=passed, text=text)
        session.outcome.add(item, found)
        return rms

    def _count(self) -> None:
        if self._session.comparing_figures and not self._staging:
            self._session.counts.figures_compared += 1

    def _returning_figure(self, item: pytest.Item, function: Callable[..., object]) -> Callable[..., object]:
        def checked(*args: object, **kwargs: object) -> object:
            figure = function(*args, **kwargs)
            if not hasattr(figure, "savefig"):
                raise NotAFigureError(found=type(figure).__name__, nodeid=item.nodeid)
            self._drawn[item.nodeid] = True
            if self._comparison:
                self._comparison.drew(item, functools.partial(function, *args, **kwargs))
            return figure

        return checked
