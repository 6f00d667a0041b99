"""How pytest-mpl compares figures of ours: in folders of our own, and with baselines that other versions drew."""

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import png
from harness.baselines import baseline_name
from harness.environment import in_words
from harness.errors import RecordError
from harness.files import read
from harness.plugin.figure_settings import MARKER, baseline_of, is_ours
from harness.plugin.session import Session
from harness.provenance import drawing_versions
from harness.record import Record


if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureComparison", "changed_versions"]

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
        from harness.comparison import compare

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
