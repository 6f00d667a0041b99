"""How pytest-mpl is set up for us: its options, its marker, whose tests are ours, what figures are drawn under."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BaselineWriteError, MarkerOptionError, OutputWriteError, ResultsAlwaysError
from harness.files import check_writable
from harness.plugin.session import Session


__all__ = [
    "MARKER",
    "baseline_of",
    "check_marker",
    "drawing",
    "is_ours",
    "leave_figures",
    "settle",
    "stage_generated_files",
    "with_baseline",
]

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
        raise BaselineWriteError(path=place, reason=error.strerror or error) from error
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
        ResultsAlwaysError: the ini file says False where pytest-mpl reads true.
        OutputWriteError: the folder cannot be made.
    """
    config = session.config
    always = config.getini("mpl-results-always")
    if isinstance(always, str) and always.strip().lower() in ("false", "no", "off", "0"):
        raise ResultsAlwaysError(value=always, path=config.inipath)
    mpl.results_always = True
    if not (config.getoption("--mpl-results-path") or config.getini("mpl-results-path")):
        try:
            mpl.results_dir = session.figures
            mpl.results_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputWriteError(path=session.output, reason=error.strerror or error) from error


def is_ours(config: pytest.Config, item: pytest.Item) -> bool:
    """Tell whether a test's baselines are ours: the project says so, or the test uses our fixtures."""
    fixtures = getattr(item, "fixturenames", ())
    opted_in = bool(config.getini("training_baselines"))
    return opted_in or not {"training", "training_regression"}.isdisjoint(fixtures)


def check_marker(item: pytest.Item, marker: pytest.Mark) -> None:
    """Check that pytest-mpl knows the options of a marker.

    Raises:
        MarkerOptionError: it would ignore one.
    """
    for option in marker.kwargs:
        if option not in _MARKER_OPTIONS:
            raise MarkerOptionError(option=option, nodeid=item.nodeid, known=", ".join(_MARKER_OPTIONS))


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
