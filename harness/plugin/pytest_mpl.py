"""Figure tests: pytest-mpl compares, and what it cannot do is done around it; all that we know of it is in this module.

Used are its marker's arguments, its options and its results folder, and a few names that it does not document
(`PRIVATE`). Around each test of ours: a baseline of its own, style and backend while fixtures are built, a message
where there is nothing to compare, a command that accepts the figure, files that are whole or not there.
"""

import contextlib
import math
import shutil
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import scratch
from harness.atomic_files import read
from harness.baselines import png
from harness.baselines.failed import FIRST
from harness.baselines.origin import drawing_versions
from harness.baselines.store import baseline_name, check_figure, save_figure
from harness.errors import BaselineMissingError, BaselineWriteError, HarnessError, OutputError, SuiteError
from harness.inert import inert_line
from harness.plugin.gated_test import GatedTest, id_of
from harness.plugin.messages import failed, messages, refuse
from harness.plugin.ownership import MARKER, is_ours
from harness.plugin.session import SESSION, Checked, Drawn, Session
from harness.record.environment import in_words


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
_DEFAULTS = {"style": "classic", "backend": "agg", "tolerance": 2}
"""Of what neither marker nor option nor ini sets."""

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

    def _test(self, item: pytest.Item) -> GatedTest:
        return GatedTest(item, self._session)

    @property
    def _generates(self) -> bool:
        return self._session.generate_path is not None

    @property
    def _compares(self) -> bool:
        return self._session.comparing_figures and not self._generates

    @pytest.hookimpl(tryfirst=True)  # before claims are made, which are registered earlier
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Give every figure test of ours a baseline of its own; check the marker's options."""
        try:
            ours = [item for item in items if is_ours(item) and item.get_closest_marker(MARKER)]
            for item in ours:
                self._prepare(item)
            if ours and self._draws:
                self._settle()
        except HarnessError as error:
            refuse(config, error)

    def _prepare(self, item: pytest.Item) -> None:
        marker = _marker(item)
        for option in marker.kwargs.keys() - {*_MARKER_OPTIONS}:
            raise SuiteError.marker_option(option=option, nodeid=id_of(item), known=_MARKER_OPTIONS)
        if not math.isfinite(tolerance := _tolerance(item)):
            raise SuiteError.tolerance(nodeid=id_of(item), value=tolerance)
        name, folder = self._test(item).name, self._session.baselines  # which refuses a URL
        own = {"filename": f"{name}.{_format(marker)}", "baseline_dir": str(folder), **marker.kwargs}
        if self._session.against:  # whose figures are all in one folder
            own["baseline_dir"] = str(folder)
        item.add_marker(pytest.mark.mpl_image_compare(**own), append=False)

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
        marker = item.get_closest_marker(MARKER)
        with _drawing(item.config, marker) if marker and self._draws and is_ours(item) else contextlib.nullcontext():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-mpl's own wrapper
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count a figure test of ours, and see to it that it is compared or generated."""
        if not (item.get_closest_marker(MARKER) and is_ours(item)):
            yield
            return
        with messages(), _lent(item), self._staged() as staging:
            self._begin(item)
            try:
                yield
            except pytest.skip.Exception:
                if not self._figure(item):  # else pytest-mpl's, which says that it has generated an image
                    raise
            except (Exception, pytest.fail.Exception) as error:
                if self._figure(item) and self._test(item).is_apart(_baseline_of(item)):
                    return
                raise self._failure(item, error) from None
            self._finish(item, staging)

    @contextlib.contextmanager
    def _staged(self) -> Iterator[Path | None]:
        """Have pytest-mpl write a figure in a folder of its own, by our name: it takes its place when it is whole."""
        if not self._draws:
            yield None
            return
        former = self._mpl.generate_dir, self._mpl.use_full_test_name
        try:
            staging = scratch.new_folder() if self._generates else None
        except OSError as error:
            raise BaselineWriteError.of(path="the folder for temporary files (TMPDIR)", reason=error) from error
        self._mpl.generate_dir, self._mpl.use_full_test_name = staging, False
        try:
            yield staging
        finally:
            self._mpl.generate_dir, self._mpl.use_full_test_name = former
            shutil.rmtree(staging or "", ignore_errors=True)

    def _begin(self, item: pytest.Item) -> None:
        """Forget what an earlier try left, and refuse a figure that would not be compared, or not with a picture."""
        from pytest_mpl.plugin import generate_test_name

        self._mpl.return_value.pop(generate_test_name(item), None)
        if self._draws:
            self._test(item).withdraw(_baseline_of(item))
        if self._generates:
            self._test(item).skip_unless_writer()
        elif not self._compares:
            self._session.counts.did(_baseline_of(item).name, id_of(item), "not compared", "pytest ran without --mpl")
            if self._session.in_ci:
                raise SuiteError.not_compared(nodeid=id_of(item))
        else:
            shutil.rmtree(self._folder(item), ignore_errors=True)
            self._check_baseline(item)

    def _check_baseline(self, item: pytest.Item) -> None:
        path, command = _baseline_of(item), self._test(item).regenerate_command
        try:
            self._session.require_own_place(path.parent)
            check_figure(path, command, self._session.shown(path), form=_format(_marker(item)))
        except HarnessError as error:
            self._keep(item, passed=False, text=str(error), accept=command)
            raise

    def _figure(self, item: pytest.Item) -> list[object]:
        """Return what a test returned, if it came to its end."""
        from pytest_mpl.plugin import generate_test_name

        name = generate_test_name(item)
        return [self._mpl.return_value[name]] if name in self._mpl.return_value else []

    def _folder(self, item: pytest.Item) -> Path:
        return Path(self._mpl.make_test_results_dir(item))

    def _failure(self, item: pytest.Item, error: BaseException) -> BaseException:
        """Return what to say of a failure: of a comparison with the command that accepts; the test's own as it is."""
        returned = self._figure(item)
        if not returned:
            return error
        if not hasattr(returned[0], "savefig"):
            return SuiteError.not_a_figure(found=type(returned[0]).__name__, nodeid=id_of(item))
        if isinstance(error, OSError):
            refused = BaselineWriteError.of if self._generates else OutputError.of
            place = _baseline_of(item) if self._generates else self._folder(item)
            return refused(path=self._session.shown(place), reason=error)
        return self._differs(item, error) if isinstance(error, pytest.fail.Exception) else error

    def _differs(self, item: pytest.Item, error: BaseException) -> BaseException:
        """Say how far a figure is from its baseline, and what to do; of a red training's, only whose it is."""
        from harness.report.figure_text import drawn, figure_rms, figure_text

        if not (baseline := _baseline_of(item)).exists():
            return self._missing(item, baseline)
        accept, folder = self._accept(item), self._folder(item)
        far = figure_text(figure_rms(folder), _tolerance(item)) if drawn(folder) else ""
        of = self._checked(_given(item))
        test = of.test.removeprefix(f"{id_of(item).partition('::')[0]}::") if far and of and of.baseline else ""
        against = self._session.against
        headline = (
            f"the figure differs from {against.title if against else 'its baseline'}: {far}" if far else str(error)
        )
        text = f"follows from {test}: {far}" if test else self._told(item, headline, accept)
        self._keep(item, passed=False, text=text, accept=accept)
        return failed(text, "" if test else far)

    def _missing(self, item: pytest.Item, baseline: Path) -> BaseException:
        """Keep a figure that has no baseline yet."""
        accept, command = self._accept(item), self._test(item).regenerate_command
        path, kept = self._session.shown(baseline), accept if accept != command else ""
        error = BaselineMissingError.figure(path=path, command=command, accept=kept)
        self._keep(item, passed=False, text=str(error), accept=accept)
        return error

    def _told(self, item: pytest.Item, headline: str, accept: str) -> str:
        """Say what has changed around a figure, where to look, and what accepts it."""
        from harness.report.figure_text import draw_sheet

        look = [self._session.report.page]
        with self._session.report.noted():
            look += draw_sheet(self._folder(item))
        versions = changed_versions(_baseline_of(item))
        rows = [("changed", versions), *(("look", str(self._session.shown(path))) for path in look), ("accept", accept)]
        return "\n".join([headline, *(f"  {label:<8}  {inert_line(row)}" for label, row in rows if row)])

    def _checked(self, given: Iterable[object]) -> Checked | None:
        """Return the record that a figure test was given, if one of this session has checked it; of two, a red one."""
        known = [one for one in given if one is not None]
        found = [each for each in self._session.checked if any(each.record() is one for one in known)]
        return max(found, key=lambda each: each.baseline is not None, default=None)

    def _accept(self, item: pytest.Item) -> str:
        """Keep the figure that differs from its baseline, or has none yet; return the command line that accepts it."""
        from harness.report.figure_text import figure_difference, figure_rms

        baseline = _baseline_of(item)
        result = self._folder(item) / f"result{baseline.suffix}"
        if not result.is_file():
            return self._test(item).accept_command
        difference = figure_difference(figure_rms(result.parent)) if baseline.is_file() else FIRST
        return self._test(item).keep_failed(baseline, result.read_bytes(), difference=difference)[1]

    def _finish(self, item: pytest.Item, staging: Path | None) -> None:
        for file in staging.iterdir() if staging else ():
            self._save(item, file)
        returned = self._figure(item)
        if returned and not hasattr(returned[0], "savefig"):
            raise SuiteError.not_a_figure(found=type(returned[0]).__name__, nodeid=id_of(item))
        if self._compares:
            self._require_compared(item, bool(returned))
            self._keep(item, passed=True, text="", accept=self._test(item).accept_command)

    def _require_compared(self, item: pytest.Item, returned: bool) -> None:
        """Refuse what pytest-mpl let pass without looking: by a hash, or where another runner called the test."""
        from harness.report.figure_text import drawn, figure_rms

        looked = returned and (_format(_marker(item)) != "png" or drawn(self._folder(item)))
        rms, tolerance = figure_rms(self._folder(item)), _tolerance(item)
        if looked and rms is not None and rms <= tolerance:
            return
        error = SuiteError.let_pass(nodeid=id_of(item), rms=rms if looked else None, tolerance=tolerance)
        self._keep(item, passed=False, text=str(error), accept=self._test(item).accept_command)
        raise error

    def _save(self, item: pytest.Item, file: Path) -> None:
        """Put a generated figure in its baseline's place."""
        target = self._session.baselines / file.name
        kept = self._session.only_missing and target.exists()
        if not kept:
            save_figure(target, file.read_bytes(), self._session.origin)
        self._session.counts.did(file.name, id_of(item), "kept" if kept else "generated")

    def _keep(self, item: pytest.Item, *, passed: bool, text: str, accept: str) -> None:
        """Keep what became of a figure for the report."""
        from harness.report.figure_text import compared_figure, drawn

        check, gated = self._test(item).check(_baseline_of(item).name, accept), self._figure(item)
        folder, output, tolerance = self._folder(item), self._session.output, _tolerance(item)

        records = [weakref.ref(one) for one in _given(item) if hasattr(one, "streams")]

        def keep() -> None:
            of = self._checked(record() for record in records)
            for figure in gated if not passed and drawn(folder) else ():
                self._draw_twins(figure, of, folder)
            test = of.test if of else ""
            finding = compared_figure(check, folder, output, tolerance, passed, text, test)
            self._session.report.add(finding, item.user_properties)

        keep()
        self._session.drawn.append(Drawn(records, keep))

    def _draw_twins(self, gated: object, of: Checked | None, folder: Path) -> None:
        """Draw a figure with its axes, of this run's record and, where it is known, of the baseline's."""
        from harness.report.failed_pictures import draw_twins

        with self._session.report.noted():
            draw_twins(gated, of and of.record(), of and of.baseline, folder)


def _given(item: pytest.Item) -> Iterable[object]:
    """Return what the fixtures of a test gave it."""
    found: dict[str, object] = getattr(item, "funcargs", {})
    return found.values()


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
def _drawing(config: pytest.Config, marker: pytest.Mark) -> Iterator[None]:
    """Draw under the style and backend that pytest-mpl would use for a test."""
    import matplotlib
    import matplotlib.pyplot as plt

    backend = matplotlib.get_backend()
    with plt.style.context(_setting(config, marker, "style"), after_reset=True):
        plt.switch_backend(_setting(config, marker, "backend"))
        try:
            yield
        finally:
            plt.switch_backend(backend)


def _setting(config: pytest.Config, marker: pytest.Mark, name: str) -> Any:
    """Return what pytest-mpl goes by: the marker's argument, an option, an ini option, its default."""
    option = f"mpl-default-{name}"
    given = config.getoption(f"--{option}") or config.getini(option) or _DEFAULTS[name]
    return marker.kwargs.get(name, given)


def _format(marker: pytest.Mark) -> str:
    """Return the format that pytest-mpl saves and reads a figure in, whatever the baseline's file is called."""
    return str((marker.kwargs.get("savefig_kwargs") or {}).get("format", "png"))


def _baseline_of(item: pytest.Item) -> Path:
    """Return the file of a figure's baseline; a marker's own folder is relative to the test's file."""
    marker = _marker(item)
    folder: str = marker.kwargs["baseline_dir"]
    return item.path.parent / folder / str(marker.kwargs["filename"])


def _tolerance(item: pytest.Item) -> float:
    return float(_setting(item.config, _marker(item), "tolerance"))


def _marker(item: pytest.Item) -> pytest.Mark:
    marker = item.get_closest_marker(MARKER)
    assert marker is not None, "the callers' condition"
    return marker


def changed_versions(path: Path) -> str:
    """Return what drew a baseline and what draws now, where they differ; empty if the baseline does not say.

    Args:
        path: of the baseline; only a PNG says it.
    """
    try:
        former = png.annotations(read(path))
    except OSError:
        return ""
    now = drawing_versions().items()
    return ", ".join(in_words((name, former[name], text) for name, text in now if former.get(name, text) != text))
