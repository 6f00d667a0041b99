"""What a session found and did: findings, counts, and the report that they become."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from harness import scratch
from harness.errors import BaselineMissingError, HarnessError, OutputError


if TYPE_CHECKING:
    from harness.report.check import Check
    from harness.report.finding import Finding
    from harness.report.ledger import Fate, Ledger


@dataclass
class Counts:
    """What a session, or one worker of it, did beside checks; plain data, so that workers can send it."""

    trainings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    done: "list[tuple[str, str, Fate, str]]" = field(default_factory=list)  # baseline, test, its fate, and why
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # trained at the commit that the session is held against
    flaky: list[str] = field(default_factory=list)  # tests that failed a check, and passed it when they ran again

    def did(self, baseline: str, test: str, fate: "Fate", reason: str = "") -> None:
        """Note what a test did with a baseline, where no finding says it."""
        self.done.append((baseline, test, fate, reason))

    def number(self, fate: "Fate") -> int:
        """Return how many baselines have a fate."""
        return len({(baseline, test) for baseline, test, found, _ in self.done if found == fate})

    def add_problem(self, error: HarnessError) -> None:
        """Note that something beside the tests went wrong, once; the summary says it, and the session fails."""
        if str(error) not in self.problems:
            self.problems.append(str(error))

    def add(self, other: dict[str, Any]) -> None:
        """Add a worker's counts."""
        for name, value in other.items():
            setattr(self, name, getattr(self, name) + value)
        self.problems = [*dict.fromkeys(self.problems)]


class SessionReport:
    """The findings of a session; workers keep theirs where the session that started them finds them.

    Args:
        root: of the project.
        folder: where the report goes.
        counts: takes note of what could not be written.
        given: folder that another process gave this one for its findings, if one did.
        at_end: takes what is to be called when the session ends.
    """

    def __init__(
        self, root: Path, folder: Path, counts: Counts, given: Path | None, at_end: Callable[[Callable[[], None]], None]
    ) -> None:
        self._root, self._folder, self._counts = root, folder, counts
        self._given, self._at_end = given, at_end
        self._kept: Path | None = None
        self._history: Path | None = None
        self.findings: list[Finding] = []
        self.ledger: Ledger | None = None
        self.is_written = False

    def prepare(self, history: Path | None) -> None:
        """Check that margins can be kept in a file, if there is to be one.

        Raises:
            OutputError: it cannot be read or written.
        """
        if history:
            from harness.report.history import check_history

            check_history(history)
            self._history = history

    @property
    def page(self) -> Path:
        """File of the report."""
        return self._folder / "report.html"

    @property
    def markdown(self) -> Path:
        """File of the summary for pull requests."""
        return self._folder / "report.md"

    @property
    def failed(self) -> bool:
        """Whether any check failed; known when the session ends."""
        return not all(finding.passed for finding in self.findings)

    @property
    def kept(self) -> Path:
        """Folder of this session's findings, and of no other's; a worker's is its controller's."""
        if self._kept is None:
            self._kept = self._given or scratch.new_folder()
            self._kept.mkdir(exist_ok=True)
            if not self._given:
                self._at_end(lambda: shutil.rmtree(self._kept or "", ignore_errors=True))
        return self._kept

    @property
    def is_kept(self) -> bool:
        """Whether anything was kept, by this process or by a worker."""
        return self._kept is not None

    def add(self, finding: "Finding", properties: list[tuple[str, object]]) -> None:
        """Keep what a test's check found, for the report and among the test's properties, which are JUnit's."""
        from harness.report.json_form import former, keep
        from harness.report.session_text import junit_properties

        with self.noted():
            tried = former(finding, self.kept)
            if tried and finding.passed and not tried.passed and tried.kind != "error":
                self._counts.flaky.append(finding.test)
            keep(finding, self.kept)
        found = junit_properties(finding)
        others = [entry for entry in properties if entry[0] not in found]  # of a rerun's first try
        properties[:] = [*others, *found.items()]

    @contextlib.contextmanager
    def keeping_errors(self, check: "Check", properties: list[tuple[str, object]]) -> Iterator[None]:
        """Keep for the report, too, what leaves nothing to compare: a baseline that is missing, say."""
        try:
            yield
        except HarnessError as error:
            accept = error.accept if isinstance(error, BaselineMissingError) else ""
            self.add(check.trouble(str(error), accept=accept), properties)
            raise

    def collect(self) -> None:
        """Collect what all processes of this session found, with the margins of earlier ones."""
        if self._kept is None:
            return
        from harness.report.json_form import collect

        with self.noted():
            self.findings = collect(self._kept)
        if self._history:
            from harness.report.history import remember

            with self.noted(), FileLock(self._folder / ".history.lock"):  # another session may add to it now
                self.findings = remember(self._history, self.findings)

    def forget(self) -> None:
        """Remove the report of an earlier session: if this one comes to no end, nothing speaks for it."""
        for file in (self.page, self.markdown, self._folder / "results.json"):
            with self.noted():
                file.unlink(missing_ok=True)

    def write(self, ledger: "Ledger", started: float) -> None:
        """Write the report, if tests of this session, which started then, own a baseline."""
        self.ledger = ledger
        if self.findings or ledger.entries:
            from harness.report.run import run_of
            from harness.report.written import write_report

            with self.noted():
                write_report(self._folder, self.findings, ledger, run_of(self._root, started))
                self.is_written = True

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
            error = OutputError.of(path=self._folder, reason=error)
        self._counts.add_problem(error)
