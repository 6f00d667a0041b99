"""Read a project with corrupt files by every way that users reach, and say what came of it."""

import contextlib
import io
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import torch

from harness.baselines.failed import Project, accept, candidates
from harness.baselines.store import check_figure, load_baseline, load_with_states, save_baseline, save_figure, to_states
from harness.commands import main
from harness.comparing.comparison import compare
from harness.errors import HarnessError
from harness.figures.deviations import deviations
from harness.record import Baseline
from harness.report.check import Check
from harness.report.comparison_text import failure, note
from harness.report.history import check_history, remember
from harness.report.html.page import page
from harness.report.markdown import markdown
from harness.tensorboard.writing import write_events
from tests.corruption.kinds import NAME, figures, small_record
from tests.test_page import figure


SECONDS = 60
"""That one case may take before it counts as hanging."""


def outcome(project: Path, *, labelled: bool) -> str:
    """Return "read", or the class of the HarnessError that refused; anything else is raised.

    Args:
        project: in which the process works; it is the working folder.
        labelled: whether the figures of a record that can be read are drawn, too, which takes seconds.
    """
    with _limited():
        for arguments in _commands(project):
            _run(arguments)
        try:
            _read(project, labelled)
        except HarnessError as error:
            if not str(error).strip():
                raise AssertionError("no words") from error
            _run(["accept", "--reason", "why"])
            _regenerate(project)
            return type(error).__name__
    return "read"


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def _commands(project: Path) -> Iterator[list[str]]:
    (project / "good.json").write_bytes(small_record())
    (project / "good.png").write_bytes(figures()[0])
    yield ["list"]
    yield ["show", NAME]
    if (project / "build" / "harness").is_dir():
        yield ["report"]
    for suffix in (".json", ".png"):
        if (project / "baselines" / f"{NAME}{suffix}").exists():
            yield ["diff", f"baselines/{NAME}{suffix}", f"good{suffix}"]


def _run(arguments: list[str]) -> None:
    """Run a command on streams like those that Python gives a process in a UTF-8 terminal."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace")]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        status = main(arguments)
        for stream in streams:
            stream.flush()
    assert status in (0, 1, 2)
    texts = [stream.buffer.getvalue().decode() for stream in streams]
    assert any(texts)
    assert not any("Traceback" in text for text in texts)


def _read(project: Path, labelled: bool) -> None:
    baselines = project / "baselines"
    record, picture = (baselines / f"{NAME}{suffix}" for suffix in (".json", ".png"))
    failed = project / "build" / "harness" / "failed"
    if failed.is_dir():
        for candidate in candidates(failed):
            accept(failed, Project(project, project / "baselines"), candidate, "why")
    elif record.exists() or record.is_symlink():
        _read_record(project, record, labelled)
    elif picture.exists() or picture.is_symlink():
        check_figure(picture, "pytest")
    if (project / "history.jsonl").exists():
        check_history(project / "history.jsonl")
        remember(project / "history.jsonl", [figure(rms=0.1, passed=True)])


def _read_record(project: Path, path: Path, labelled: bool) -> None:
    """Read a baseline as a test does, compare a training with it, and show both."""
    baseline, data = load_with_states(path, "pytest")
    if data:
        kept = to_states(data, path, baseline, "pytest")
        for step in kept.steps[:1]:
            kept.put_back(step, {"weight/block1.conv.weight": torch.zeros(8, 3, 3, 3)})
    present = Baseline.from_text(small_record().decode())
    comparison = compare(baseline, present.record)
    text = failure(comparison, test="t", look=[], accept="a", origin=present.origin) + note(comparison)
    result = Check("t", "", "t.json", "t.py", 1, "a").training(comparison, passed=False, text=text)
    page([result])
    markdown([result])
    write_events(comparison.baseline.record, project / "events", labelled=labelled)
    if labelled:
        with contextlib.suppress(HarnessError):
            deviations(comparison, labelled=True)


def _regenerate(project: Path) -> None:
    """Write good baselines over the corrupt ones: that mends them, or is refused in words."""
    for suffix in (".json", ".png"):
        path = project / "baselines" / f"{NAME}{suffix}"
        if path.exists() or path.is_symlink():
            with contextlib.suppress(HarnessError):
                if suffix == ".json":
                    save_baseline(path, Baseline.from_text(small_record().decode()))
                    load_baseline(path, "pytest")
                else:
                    save_figure(path, figures()[0], {"made": "now"})
                    check_figure(path, "pytest")
