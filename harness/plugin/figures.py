"""Figure tests: pytest-mpl compares, and what it cannot do is done around it."""

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.baselines import png
from harness.baselines.files import check_writable, read
from harness.baselines.origin import drawing_versions
from harness.baselines.store import baseline_name, check_figure, orphans, save_figure
from harness.errors import (
    BaselineWriteError,
    HarnessError,
    OutputError,
    RecordError,
    SuiteError,
)
from harness.plugin import devices
from harness.plugin import failed as offers
from harness.plugin.messages import messages, refuse
from harness.plugin.record_check import regenerate_command
from harness.plugin.selection import in_ci, sees_all, select
from harness.plugin.session import SESSION, Session, check_of
from harness.record.environment import in_words
from harness.record.record import Record


if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.report.check import Check
    from harness.report.finding import Finding


_OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)
"""What a test may raise beside exceptions."""


class FigureComparison:
    """Stands between pytest-mpl and its comparison of a figure with a baseline.

    Text moves with every Matplotlib and FreeType. Where other versions drew a baseline that a figure does not fit, the
    test draws it anew from the baseline of the record that it was given, and the figure is compared with that. Not so a
    test with other fixtures: what they hold may have changed, and would be in both pictures.

    Args:
        mpl: pytest-mpl's comparing plugin.
        session: the session's state.
    """

    def __init__(self, mpl: Any, session: Session) -> None:
        self._mpl = mpl
        self._session = session
        self._redrawn: dict[str, str] = {}
        self._drawn_by_others: dict[str, str] = {}
        self._calls: dict[str, functools.partial[Any]] = {}
        self._their_folder, self._their_compare = mpl.make_test_results_dir, mpl.compare_image_to_baseline
        mpl.make_test_results_dir = self._make_folder
        mpl.compare_image_to_baseline = self._compare

    def folder(self, item: pytest.Item) -> Path:
        """Folder of a figure's baseline, result and difference; pytest-mpl's own choice breaks on some ids."""
        return Path(self._mpl.results_dir) / baseline_name(item.nodeid)

    def drew(self, item: pytest.Item, call: "functools.partial[Any]") -> None:
        """Take note of how a test drew its figure, until it is compared."""
        self._calls[item.nodeid] = call

    def passed(self, item: pytest.Item) -> str:
        """Count a figure that passed beside a baseline of other versions; return what there is to say of it."""
        if changed := self._drawn_by_others.pop(item.nodeid, ""):
            self._session.counts.drawn_by_others.append(changed)
        if changed := self._redrawn.pop(item.nodeid, ""):
            self._session.counts.redrawn.append(changed)
        return changed and f"redrawn from its record ({changed})"

    def _make_folder(self, item: pytest.Item) -> Path:
        if not is_ours(item.config, item):
            return Path(self._their_folder(item))
        self.folder(item).mkdir(parents=True, exist_ok=True)
        return self.folder(item)

    def _compare(self, item: pytest.Item, figure: "Figure", folder: Path, summary: Any = None) -> str | None:
        """Compare as pytest-mpl does, and again if other versions drew the baseline; return what differs."""
        call = self._calls.pop(item.nodeid, None)
        for former in (self._redrawn, self._drawn_by_others):
            former.pop(item.nodeid, None)  # of a rerun's first try
        differs: str | None = self._their_compare(item, figure, folder, summary)
        if call is None or not (changed := changed_versions(baseline_of(item))):
            return differs
        if not differs:
            self._drawn_by_others[item.nodeid] = changed
        elif not self._session.strict and (redrawn := self._redraw(item, call, figure, folder)):
            _forget_difference(folder, summary)
            differs = self._compare_with(redrawn, item, figure, folder, summary)
            if not differs:
                self._redrawn[item.nodeid] = changed
        return differs

    def _compare_with(self, baseline: Path, item: pytest.Item, *args: Any) -> str | None:
        stored = self._mpl.obtain_baseline_image
        self._mpl.obtain_baseline_image = lambda item: baseline
        try:
            differs: str | None = self._their_compare(item, *args)
        finally:
            self._mpl.obtain_baseline_image = stored
        return differs

    def _redraw(
        self, item: pytest.Item, call: "functools.partial[Any]", present: "Figure", folder: Path
    ) -> Path | None:
        """Draw a baseline from stored records; return its file, or None if the test draws no record that is stored."""
        import matplotlib.pyplot as plt

        stored = _Stored(self._session.baselines)
        if not all(_is_replaceable(item, name, value) for name, value in call.keywords.items()):
            return None
        arguments = {name: stored.argument(name, value) for name, value in call.keywords.items()}
        plt.close(present)  # else plt.plot would draw into it; it can be saved all the same
        with contextlib.suppress(Exception, *_OUTCOMES):  # whatever a test raises that can be drawn only once
            figure = call.func(*call.args, **arguments)
            if stored.all_found and figure is not present:
                return self._save(item, figure, folder / f"redrawn{baseline_of(item).suffix}")
        return None

    def _save(self, item: pytest.Item, figure: "Figure", path: Path) -> Path:
        import matplotlib.pyplot as plt
        from matplotlib.testing.decorators import remove_ticks_and_titles

        marker = item.get_closest_marker(MARKER)
        if marker and marker.kwargs.get("remove_text", False):
            remove_ticks_and_titles(figure)
        self._mpl.save_figure(item, figure, path)
        plt.close(figure)
        return path


def _is_replaceable(item: pytest.Item, name: str, value: Any) -> bool:
    """Tell whether an argument is a record, makes records, or is the same in every session: a parameter's value."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    is_parameter = name in parameters and parameters[name] is value  # an indirect one is a fixture's
    return is_parameter or isinstance(value, Record) or name in ("training", "device")


def _forget_difference(folder: Path, summary: Any) -> None:
    """Remove what pytest-mpl left and noted of a first comparison that failed."""
    for file in folder.glob("*-failed-diff.*"):
        file.unlink()
    if summary:
        summary.update(rms=None, diff_image=None)


class _Stored:
    """Puts stored records in the place of those that a test is given.

    Args:
        folder: of the baselines.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: list[bool] = []

    @property
    def all_found(self) -> bool:
        """Whether there was a record, and every one is stored."""
        return bool(self._found) and all(self._found)

    def argument(self, name: str, value: Any) -> Any:
        """Return what a test is given in the place of a fixture's value."""
        if isinstance(value, Record):
            return self._record(value)
        if name == "training":
            return lambda recipe: self._record(value(recipe))
        return value

    def _record(self, record: Record) -> Record:
        """Return the baseline that a record agrees with, or the record itself."""
        from harness.comparing.comparison import compare

        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, RecordError):  # its own test says what is wrong with it
                stored = Record.from_text(read(path).decode())
                alike = (stored.recipe, stored.precision) == (record.recipe, record.precision)
                if alike and compare(stored, record).verdict != "different":
                    self._found.append(True)
                    return stored
        self._found.append(False)
        return record


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
    changed = ((name, former[name], text) for name, text in now if former.get(name, text) != text)
    return ", ".join(in_words(changed))


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
                check_writable(self._session.output, OutputError.of)
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
            raise SuiteError.shared_baseline(file=file, first=first, second=owner)

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
        from harness.report.session_text import figure_difference

        difference = figure_difference(figure_rms(self._results(item)))
        return offers.keep(item, self._session, baseline, result.read_bytes(), difference=difference)[1]

    def _check_will_compare(self, item: pytest.Item) -> None:
        if self._staging:
            devices.skip_unless_writer(item)
        elif not self._session.comparing_figures:
            self._session.counts.not_compared += 1
            if in_ci():
                raise SuiteError.not_compared(nodeid=item.nodeid)
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
            save_figure(target, file.read_bytes(), self._session.origin)
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
                raise SuiteError.not_a_figure(found=type(figure).__name__, nodeid=item.nodeid)
            self._drawn[item.nodeid] = True
            if self._comparison:
                self._comparison.drew(item, functools.partial(function, *args, **kwargs))
            return figure

        return checked


def figure_outcome(
    check: "Check", session: Session, folder: Path, *, rms: float | None, tolerance: float, passed: bool, text: str
) -> "Finding":
    """Return the result of a figure test.

    Args:
        check: what is the same in every result of it.
        session: the session's state.
        folder: of the figure's pictures.
        rms: as `figure_rms` returns it.
        tolerance: RMS in grey levels that passes.
        passed: whether it did.
        text: what a person is told.
    """
    if not (passed or all(path.exists() for path in _pictures(folder))):  # no baseline, or another format than PNG
        return check.trouble(text)
    baseline, result = _pictures(folder)
    return check.figure(
        rms=rms,
        tolerance=tolerance,
        baseline=os.path.relpath(baseline, session.output),
        result=os.path.relpath(result, session.output),
        passed=passed,
        text=text,
    )


def figure_rms(folder: Path) -> float | None:
    """Return the root mean square difference in grey levels, which pytest-mpl leaves out when a figure passes.

    Returns:
        None for pictures of different size; 0.0 where there are none, of another format than PNG or a hash library.
    """
    import numpy as np
    from PIL import Image

    paths = _pictures(folder)
    if not all(path.exists() for path in paths):
        return 0.0
    one, other = (np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) for path in paths)
    return float(np.sqrt(np.mean((one - other) ** 2))) if one.shape == other.shape else None


def draw_sheet(folder: Path) -> list[Path]:
    """Draw a figure's baseline, result and difference beside each other; return the file, none without a baseline.

    Args:
        folder: of the figure's pictures.
    """
    from PIL import Image

    from harness.figures.side_by_side import side_by_side

    paths = _pictures(folder)
    if not all(path.exists() for path in paths):  # or another format than PNG
        return []
    sheet = folder / "side-by-side.png"
    side_by_side(*map(Image.open, paths)).save(sheet)
    return [sheet]


def _pictures(folder: Path) -> tuple[Path, Path]:
    return folder / "baseline.png", folder / "result.png"


def unwritten(error: OSError, session: Session, place: Path) -> HarnessError:
    """Return the error that says that a figure could not be saved.

    Args:
        error: the system's.
        session: the session's state; it writes baselines or compares.
        place: the baseline's file, or the folder of the figure's pictures.
    """
    refuse = BaselineWriteError.of if session.generate_path else OutputError.of
    return refuse(path=session.shown(place), reason=error)


MARKER = "mpl_image_compare"

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


def stage_generated_files(config: pytest.Config) -> Path | None:
    """Let pytest-mpl write elsewhere: figures take their place one by one, when they are whole.

    Raises:
        BaselineWriteError: baselines cannot be written to --mpl-generate-path.
    """
    option = config.option
    given = getattr(option, "training_generate_path", None) or option.mpl_generate_path
    if given is None:
        return None
    target = Path(given).absolute()
    check_writable(target)
    try:
        staging = tempfile.mkdtemp(prefix="training-regression-")
    except OSError as error:
        place = "the folder for temporary files (TMPDIR)"
        raise BaselineWriteError.of(path=place, reason=error) from error
    config.add_cleanup(lambda: shutil.rmtree(staging, ignore_errors=True))
    option.training_generate_path, option.mpl_generate_path = str(target), staging
    return Path(staging)


def leave_figures(config: pytest.Config) -> None:
    """Let pytest-mpl neither compare nor write: figures of a rerun are nobody's."""
    config.option.mpl, config.option.mpl_generate_path, config.option.mpl_generate_hash_library = False, None, None


def settle(mpl: Any, session: Session) -> None:
    """Let pytest-mpl keep all pictures, from which margins are read, in a known folder instead of a temporary one.

    Args:
        mpl: pytest-mpl's comparing plugin.
        session: the session's state.

    Raises:
        SuiteError: the ini file says False where pytest-mpl reads true.
        OutputError: the folder cannot be made.
    """
    config = session.config
    always = config.getini("mpl-results-always")
    if isinstance(always, str) and always.strip().lower() in ("false", "no", "off", "0"):
        raise SuiteError.results_always(value=always, path=config.inipath)
    mpl.results_always = True
    if not (config.getoption("--mpl-results-path") or config.getini("mpl-results-path")):
        try:
            mpl.results_dir = session.figures
            mpl.results_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError.of(path=session.output, reason=error) from error


def is_ours(config: pytest.Config, item: pytest.Item) -> bool:
    """Tell whether a test's baselines are ours: the project says so, or the test uses our fixtures."""
    fixtures = getattr(item, "fixturenames", ())
    opted_in = bool(config.getini("training_baselines"))
    return opted_in or not {"training", "training_regression"}.isdisjoint(fixtures)


def check_marker(item: pytest.Item, marker: pytest.Mark) -> None:
    """Check that pytest-mpl knows the options of a marker.

    Raises:
        SuiteError: it would ignore one.
    """
    for option in marker.kwargs:
        if option not in _MARKER_OPTIONS:
            raise SuiteError.marker_option(option=option, nodeid=item.nodeid, known=_MARKER_OPTIONS)


@contextlib.contextmanager
def drawing(config: pytest.Config, marker: pytest.Mark) -> Iterator[None]:
    """Draw under the style and backend that pytest-mpl would use for a test."""
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


def with_baseline(marker: pytest.Mark, name: str, folder: Path) -> dict[str, Any]:
    """Return a marker's options with file and folder of our own where it names none."""
    extension = marker.kwargs.get("savefig_kwargs", {}).get("format", "png")
    return {"filename": f"{name}.{extension}", "baseline_dir": str(folder), **marker.kwargs}


def baseline_of(item: pytest.Item) -> Path:
    """Return the file of a figure's baseline; a marker's own folder is relative to the test's file."""
    marker = item.get_closest_marker(MARKER)
    assert marker is not None, "the caller's condition"
    folder: str = marker.kwargs["baseline_dir"]
    return item.path.parent / folder / str(marker.kwargs["filename"])
