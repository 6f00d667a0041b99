"""The state of one pytest session: what it was asked for, what was trained, what was found."""

import contextlib
import json
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from filelock import FileLock

from harness.baselines.atomic_files import write
from harness.baselines.folder import named_folder, spelt_out, stated_folder
from harness.baselines.plain_files import is_within, link_in
from harness.elsewhere.code import Code
from harness.elsewhere.rerun import Assignment, Effect, Reruns, in_force
from harness.elsewhere.sharing import Sharing, own_folder
from harness.elsewhere.trainings import Training, Trainings
from harness.errors import (
    DevicePrecisionError,
    HarnessError,
    NoCifar10Error,
    NotFoundError,
    OutputError,
    SuiteError,
)
from harness.plugin.ci import in_ci
from harness.plugin.command_line import command_line, rerun_arguments
from harness.plugin.options import NO_CIFAR10
from harness.recording.imported import listening
from harness.tensorboard.runs import Runs


if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.record.record import Record
    from harness.recording.perturbation import Reran, Rerun
    from harness.recording.states import States
    from harness.report.check import Check
    from harness.report.finding import Finding
    from harness.report.ledger import Fate, Ledger


class Settings:
    """Options and paths of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.output = config.rootpath / "build" / "harness"

    @property
    def comparing_figures(self) -> bool:
        """Whether pytest-mpl compares figures in this session."""
        return bool(self.config.getoption("--mpl", False))

    @property
    def strict(self) -> bool:
        """Whether everything fails that leaves room for doubt: drift, what is not judged, orphans."""
        return bool(self.config.getoption("--training-strict") or self.config.getini("training_strict"))

    @property
    def demands_all(self) -> bool:
        """Whether a baseline that nobody checked fails: in CI, and in strict mode."""
        return self.strict or in_ci()

    @property
    def shard(self) -> str:
        """Which part of the tests this job runs, as "1/4": by our option or pytest-split's; empty for all of them."""
        option = self.config.getoption
        others = f"{option('group', 0)}/{option('splits', 0)}" if option("splits", 0) else ""
        return str(option("--training-shard") or others)

    @property
    def seeds(self) -> int:
        """Seeds that trainings are judged by, or 0: a training is compared with its baseline, number by number."""
        return int(self.config.getoption("--equivalence") or 0)

    @property
    def measures_power(self) -> bool:
        """Whether standard faults are planted in every training."""
        option = self.config.getoption
        return bool(option("--gate-power")) or option("--gate-power-min") is not None

    @property
    def verifies(self) -> bool:
        """Whether what the thresholds of baselines come from is measured again."""
        return bool(self.config.getoption("--training-verify"))

    @property
    def least_power(self) -> float:
        """Share of the planted faults that has to be caught."""
        return float(self.config.getoption("--gate-power-min") or 0.0)

    @property
    def only_missing(self) -> bool:
        """Whether existing baselines stay as they are while others are written."""
        return bool(self.config.getoption("--only-missing"))

    @property
    def adds_environment(self) -> bool:
        """Whether low-precision baselines of other environments stay as they are, and this one's are added."""
        return bool(self.config.getoption("--add-environment"))

    @property
    def generate_path(self) -> Path | None:
        """Folder that this session writes baselines to, or None if it compares."""
        path = getattr(self.config.option, "training_generate_path", None)
        return Path(path) if path else None

    @cached_property
    def baselines(self) -> Path:
        """Folder of the baselines: pytest-mpl's, if it is given, or ours; ini paths are relative to the root.

        Raises:
            SuiteError: they are remote, or it is a link, or one of the session's results.
        """
        folder = self.generate_path or self._baselines
        self.require_own_place(folder)
        return Path(os.path.normpath(folder))

    def require_own_place(self, place: Path) -> None:
        """Refuse baselines that are read through a link, or lie among results: they could be held against themselves.

        Args:
            place: a folder of baselines.

        Raises:
            SuiteError: it is such a place.
        """
        if link := link_in(place, self.config.rootpath):
            raise SuiteError.linked_folder(path=self.shown(link), target=link.readlink())
        for results in filter(None, (self.output, self._results)):
            if is_within(place, results):
                raise SuiteError.among_results(path=self.shown(place), results=self.shown(results))

    @property
    def _results(self) -> Path | None:
        """Folder that pytest-mpl was told to leave its results in, from where pytest was started."""
        given = self.config.getoption("--mpl-results-path", None) or self._ini("mpl-results-path")
        return Path(given).absolute() if given else None

    @property
    def _baselines(self) -> Path:
        option = self.config.getoption("--mpl-baseline-path", None)
        if option and re.match("https?://", option):
            raise SuiteError.remote_baselines(path=option)
        if option:
            return Path(option).absolute()
        ini = str(self.config.getini("training_baselines") or "")
        return named_folder(self.config.rootpath, ini, self._ini("mpl-baseline-path"))

    def _ini(self, name: str) -> str:
        """Return an ini option of pytest-mpl, if it is there."""
        return str(self.config.getini(name) or "") if self.config.pluginmanager.hasplugin("pytest_mpl") else ""

    @property
    def failed(self) -> Path:
        """Folder of the results that differ from their baselines."""
        return self.output / "failed"

    @cached_property
    def figures(self) -> Path:
        """Folder of pytest-mpl's pictures of this session, empty at first."""
        folder = self._own("figures")
        if not hasattr(self.config, "workerinput"):
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier session
        return folder

    def _own(self, name: str) -> Path:
        """Return a folder that no other session writes to; a worker has it from the session that started it."""
        if hasattr(self.config, "workerinput"):
            return Path(self.config.workerinput[f"training_regression_{name}"])
        return own_folder(self.output / name, self.config.add_cleanup)

    @cached_property
    def origin(self) -> dict[str, str]:
        """Where the results of this session come from; asked before the first baseline is written."""
        from harness.baselines.origin import command_text, origin

        arguments, here = command_line(self.config)
        reason = str(self.config.getoption("--training-reason") or "")
        return origin(self.config.rootpath, command_text("pytest", arguments, Path(here)), reason)

    @cached_property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard runs."""
        option = self.config.getoption("--tensorboard")
        return Path(option).absolute() if option else self._own("tensorboard")

    @property
    def history(self) -> Path | None:
        """File with the margins of past runs, if they are kept."""
        if option := self.config.getoption("--training-history"):
            return Path(option).absolute()
        ini = self.config.getini("training_history")
        return self.config.rootpath / ini if ini else None

    @property
    def cifar10(self) -> str | None:
        """Where CIFAR-10 is, from the command line, the environment or the ini file."""
        if given := self.config.getoption("--cifar10") or os.environ.get("HARNESS_CIFAR10"):
            return str(given)
        ini: str = self.config.getini("cifar10")
        return str(self.config.rootpath / ini) if ini and ini != "download" else ini or None

    def accept_command(self, name: str = "", baselines: Path | None = None) -> str:
        """Return the command line that accepts one result that is kept, or all, from where pytest was started.

        It names the folder of the baselines where the project's ini file does not: the command goes by nothing else.
        """
        root, here = self.config.rootpath, self.config.invocation_params.dir
        given = spelt_out(baselines or self.baselines)
        words = ["harness", "accept", *([name] if name else [])]
        if not here.is_relative_to(root):
            words += ["--root", os.path.relpath(root, here)]
        if given != self._stated:
            words += ["--baselines", os.path.relpath(given, here)]
        return f'{shlex.join(words)} --reason "..."'

    @cached_property
    def _stated(self) -> Path | None:
        """Folder of the baselines by the ini file alone; None if that cannot be read, though pytest could."""
        try:
            return spelt_out(stated_folder(self.config.rootpath))
        except NotFoundError:
            return None

    def shown(self, path: Path) -> Path:
        """Return a path as people here would type it: relative to where pytest was started, if below it."""
        here = self.config.invocation_params.dir
        return path.relative_to(here) if path.is_relative_to(here) else path


@dataclass
class Counts:
    """What a session, or one worker of it, did beside checks; plain data, so that workers can send it."""

    trainings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    done: "list[tuple[str, str, Fate, str]]" = field(default_factory=list)  # baseline, test, its fate, and why
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

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


class Outcome:
    """The findings of a session; xdist's workers keep theirs where the controller finds them.

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
        self.findings: list[Finding] = []
        self.ledger: Ledger | None = None
        self.reported = False

    def prepare(self, history: Path | None) -> None:
        """Check that margins can be kept.

        Args:
            history: file that they are kept in; None keeps none.

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
    def failed(self) -> bool:
        """Whether any check failed; known when the session ends."""
        return not all(finding.passed for finding in self.findings)

    @property
    def markdown(self) -> Path:
        """File of the summary for pull requests."""
        return self._folder / "report.md"

    @property
    def kept(self) -> Path:
        """Folder of this session's findings, and of no other's; a worker's is its controller's."""
        if self._kept is None:
            given = getattr(self._config, "workerinput", {}).get("training_regression_results")
            self._kept = Path(given or tempfile.mkdtemp(prefix="training-regression-"))
            if not given:
                self._config.add_cleanup(lambda: shutil.rmtree(self._kept or "", ignore_errors=True))
        return self._kept

    @property
    def is_kept(self) -> bool:
        """Whether anything was kept, by this process or by a worker."""
        return self._kept is not None

    def add(self, item: pytest.Item, finding: "Finding") -> None:
        """Keep what a test's check found, for the report and for JUnit's."""
        from harness.report.json_form import keep
        from harness.report.session_text import junit_properties

        with self.noted():
            keep(finding, self.kept)
        found = junit_properties(finding)
        former = [entry for entry in item.user_properties if entry[0] not in found]  # of a rerun's first try
        item.user_properties[:] = [*former, *found.items()]

    @contextlib.contextmanager
    def keeping_errors(self, item: pytest.Item, check: "Check") -> Iterator[None]:
        """Keep for the report, too, what leaves nothing to compare: a baseline that is missing, say."""
        try:
            yield
        except HarnessError as error:
            self.add(item, check.trouble(str(error)))
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

    def report(self, ledger: "Ledger") -> None:
        """Write the report, if tests of this session own a baseline."""
        self.ledger = ledger
        if self.findings or ledger.entries:
            with self.noted():
                self._report(ledger)
                self.reported = True

    def _report(self, ledger: "Ledger") -> None:
        """Write the files of the report: all, or none. A green session needs no page; `harness report` makes one."""
        from harness.baselines.atomic_files import write_all
        from harness.report.json_form import to_text
        from harness.report.markdown import markdown

        texts = {
            self.markdown: markdown(self.findings, ledger),
            self._folder / "results.json": to_text(self.findings, ledger),
        }
        if self.failed:
            from harness.report.failed_pictures import failed_figures
            from harness.report.html.page import page

            texts[self.page] = page(self.findings, dict(failed_figures(self.findings, self._folder)), ledger)
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
            error = OutputError.of(path=self._folder, reason=error)
        self._counts.add_problem(error)


class Session(Settings):
    """What one pytest session was asked for, and what it did."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.counts = Counts()
        own = (
            time.time()
        )  # a worker's may be later: it takes the place of one that crashed, and meets what that trained
        self.started: float = min(own, getattr(config, "workerinput", {}).get("training_regression_started", own))
        self.outcome = Outcome(config, self.output, self.counts)
        self.assignment = Assignment.from_environment()
        self.effect = Effect()
        self.reruns = Reruns(Path(command_line(config)[1]), lambda folder: rerun_arguments(config, folder), "pytest")
        is_worker = hasattr(config, "workerinput") and not self.assignment
        self.workers = Sharing(self.shared if is_worker else None)
        self.runs = Runs(self.workers, labelled=bool(config.getoption("--tensorboard")))
        self.trainings = Trainings(lambda: self.shared)
        self.code = Code()
        self.imported = Path(tempfile.gettempdir(), f"training-regression-{uuid4().hex}.imported")

    @property
    def shared(self) -> Path:
        """Folder of what the processes of this session leave for each other, and for later."""
        return self.outcome.kept / "trainings"

    def listen(self) -> None:
        """Have processes that tests train in tell what they import, until the session ends."""
        stack = ExitStack()
        stack.enter_context(listening(self.config.rootpath, self.imported))
        self.config.add_cleanup(stack.close)

    def finish(self, ledger: "Ledger") -> None:
        """Write the report and what `harness list` reads; what cannot be written is named in the summary."""
        self.outcome.report(ledger)
        with self.outcome.noted():
            self._remember(ledger)

    def _remember(self, ledger: "Ledger") -> None:
        """Leave for `harness list` where the baselines are, and which of them no test claims, if that is known."""
        orphans = None if ledger.unknown else ledger.orphans
        content = {"baselines": os.path.relpath(self.baselines, self.config.rootpath), "orphans": orphans}
        write(self.output / "session.json", json.dumps(content).encode())

    def header(self) -> list[str]:
        """Say what this session compares with what."""
        data = f"CIFAR-10 from {self.cifar10}" if self.cifar10 else "no CIFAR-10 (--cifar10=PATH)"
        return [f"training regression: {self._doing()}; data: embedded synthetic set, {data}"]

    def _doing(self) -> str:
        if self.generate_path:
            return f"writing baselines to {self.shown(self.generate_path)}"
        return "comparing records " + ("and figures" if self.comparing_figures else "but not figures (no --mpl)")

    def train(self, recipe: "Recipe", device: str) -> "Record":
        """Return the record of a recipe on a device, training it if this session has not yet, or by other code."""
        code = self.code.fingerprint(recipe.model)
        training = self.trainings.get(recipe, device, code) or self._trained(recipe, device, code)
        record = training.record
        self.runs.adopt(record, self.tensorboard / training.run)
        return record

    def _trained(self, recipe: "Recipe", device: str, code: str) -> Training:
        """Train a recipe, or take what another worker has trained."""
        name = re.sub(r"[^\w.-]", "_", f"{recipe.title}-{recipe.data}-{recipe.precision}-{device}-{recipe.digest}")
        run = name.lstrip(".") + (f"-{code}" if self.trainings.has_other(recipe, device) else "")
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        record, states, test = self.workers.trained(
            recipe, device, lambda: (*self._train(recipe, device, run), test), code
        )
        codes = {code, self.code.fingerprint(recipe.model)}
        training = Training(recipe, device, record, states, codes=codes, test=test, run=run)
        self.trainings.add(training)
        return training

    def _states(self, recipe: "Recipe") -> "States | None":
        """Return states to put back into a training, or to fill, if this session has a use for them."""
        if self.assignment:
            return self.assignment.states()
        return self.states_to_fill() if recipe.precision != "float64" else None

    def states_to_fill(self) -> "States | None":
        """Return states for a training to fill if its record is to become a baseline."""
        from harness.recording.states import States

        return States() if self.generate_path else None

    def perturb(self) -> None:
        """Perturb every training of this process as it was assigned."""
        if self.assignment:
            stack = ExitStack()
            self.effect = stack.enter_context(in_force(self.assignment.perturbation, self.assignment.fault))
            self.config.add_cleanup(stack.close)

    @contextlib.contextmanager
    def giving_up(self) -> Iterator[None]:
        """In a process that reruns a test, leave word of what it ends with, and of what a fault has to do with that."""
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            failure = self.effect.failure(error)
            if self.assignment and failure and "pytest-timeout" not in str(error):
                self.assignment.give_up(failure)
            raise

    def retrain(self, training: Training, how: "Rerun") -> "Reran":
        """Train a recipe again in this process; return its record, and what became of a fault."""
        from harness.plugin.progress import Progress
        from harness.recording.perturbation import Reran
        from harness.shipped.loop import train

        recipe, device = training.recipe, training.device
        progress = Progress(self.config, f"{recipe.title}, {how.text}", recipe.num_steps)
        with in_force(how.perturbation, how.fault) as effect, progress:
            record = train(recipe, device, cifar10=self.cifar10, progress=progress, states=how.states)
        return Reran(record, effect.outcome(record))

    def _train(self, recipe: "Recipe", device: str, run: str) -> "tuple[Record, States | None]":
        from harness.plugin.progress import Progress
        from harness.shipped.loop import train

        title, states = f"{recipe.title}, {recipe.data}, {recipe.precision}, {device}", self._states(recipe)
        try:
            with self.workers.room(device), Progress(self.config, title, recipe.num_steps) as progress:
                record = train(recipe, device, cifar10=self.cifar10, progress=progress, states=states)
        except NoCifar10Error:
            pytest.skip(str(NO_CIFAR10))
        except DevicePrecisionError as error:
            pytest.skip(str(error))
        if not self.assignment:
            self.publish(record, run)
        return record, states

    def publish(self, record: "Record", name: str) -> None:
        """Write a record's TensorBoard run, once, and count its training."""
        if self.runs.write(record, self.tensorboard / name):
            from harness.report.words import training_line

            self.counts.trainings.append(training_line(record))
            self.counts.seconds += record.seconds


SESSION = pytest.StashKey[Session]()
