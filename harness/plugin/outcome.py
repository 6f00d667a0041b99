"""What each check found: kept while the session runs, written as report and JSON at its end."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from harness.errors import HarnessError, OutputWriteError
from harness.plugin.counts import Counts


if TYPE_CHECKING:
    from harness.results import Check, Result

__all__ = ["Outcome", "check_of"]


class Outcome:
    """The results of a session; xdist's workers keep theirs where the controller finds them.

    Args:
        config: of the session.
        folder: where the report goes.
        counts: takes note of what could not be written.
    """

    def __init__(self, config: pytest.Config, folder: Path, counts: Counts) -> None:
        self._config = config
        self._folder = folder
        self._counts = counts
        self._kept: Path | None = None
        self._history: Path | None = None
        self.results: list[Result] = []
        self.reported = False

    def prepare(self, history: Path | None) -> None:
        """Check that margins can be kept.

        Args:
            history: file that they are kept in; None keeps none.

        Raises:
            HistoryFileError: it cannot be read or written.
        """
        if history:
            from harness.history import check_history

            check_history(history)
            self._history = history

    @property
    def page(self) -> Path:
        """File of the report."""
        return self._folder / "report.html"

    @property
    def failed(self) -> bool:
        """Whether any check failed; known when the session ends."""
        return not all(result["passed"] for result in self.results)

    @property
    def markdown(self) -> Path:
        """File of the summary for pull requests."""
        return self._folder / "report.md"

    @property
    def kept(self) -> Path:
        """Folder of this session's results, and of no other's; a worker's is its controller's."""
        if self._kept is None:
            given = getattr(self._config, "workerinput", {}).get("training_regression_results")
            self._kept = Path(given or tempfile.mkdtemp(prefix="training-regression-"))
            if not given:
                self._config.add_cleanup(lambda: shutil.rmtree(self._kept or "", ignore_errors=True))
        return self._kept

    def add(self, item: pytest.Item, result: "Result") -> None:
        """Keep what a test's check found, for the report and for JUnit's."""
        from harness.report import junit_properties
        from harness.results import keep

        with self.noted():
            keep(result, self.kept)
        found = junit_properties(result)
        former = [entry for entry in item.user_properties if entry[0] not in found]  # of a rerun's first try
        item.user_properties[:] = [*former, *found.items()]

    @contextlib.contextmanager
    def keeping_errors(self, item: pytest.Item, check: "Check") -> Iterator[None]:
        """Keep for the report, too, what leaves nothing to compare: a baseline that is missing, say."""
        from harness.results import error_result

        try:
            yield
        except HarnessError as error:
            self.add(item, error_result(check, str(error)))
            raise

    def finish(self) -> None:
        """Write report and JSON, if any check found anything; `reported` says whether they stand."""
        if self._kept is None:
            return
        from harness.results import collect

        with self.noted():
            self.results = collect(self._kept)
        if self._history:
            from harness.history import remember

            with self.noted(), FileLock(self._folder / ".history.lock"):  # another session may add to it now
                self.results = remember(self._history, self.results)
        if self.results:
            with self.noted():
                self._report()
                self.reported = True

    def _report(self) -> None:
        """Write the files of the report: all, or none. A green session needs no page; `harness report` makes one."""
        from harness.files import write_all
        from harness.report import markdown
        from harness.results import to_text

        texts = {self.markdown: markdown(self.results), self._folder / "results.json": to_text(self.results)}
        if self.failed:
            from harness.page import page, pictures

            texts[self.page] = page(self.results, dict(pictures(self.results, self._folder)))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_all({path: text.encode("utf-8", "backslashreplace") for path, text in texts.items()})
        if not self.failed:
            self.page.unlink(missing_ok=True)  # of an earlier session that was red

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Go on where something cannot be written: what the tests found is worth more than its copy on disk."""
        try:
            yield
        except (HarnessError, OSError) as error:
            self.note(error)

    def note(self, error: HarnessError | OSError) -> None:
        """Take note of something that could not be written, for the summary."""
        if isinstance(error, OSError):
            error = OutputWriteError(path=self._folder, reason=error.strerror or error)
        self._counts.add_problem(error)


def check_of(item: pytest.Item, name: str, accept: str) -> "Check":
    """Return what is the same in every result of a check.

    Args:
        item: the test.
        name: tells several checks of one test apart.
        accept: the command that makes the present run the baseline.
    """
    from harness.results import Check

    _, line, _ = item.location
    return Check(item.nodeid, name, _in_repository(item), 1 + (line or 0), accept)


def _in_repository(item: pytest.Item) -> str:
    """Return the file of a test as annotations name it: relative to the checkout, or to pytest's root."""
    checkout = Path(os.environ.get("GITHUB_WORKSPACE") or item.config.rootpath)
    place = item.path if item.path.is_relative_to(checkout) else Path(item.location[0])
    return (place.relative_to(checkout) if place.is_relative_to(checkout) else place).as_posix()
