"""`--training-on`: tests that check a training run elsewhere; their records are compared here, each as it arrives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from harness.atomic_files import write
from harness.elsewhere.kept import Kept
from harness.errors import HarnessError, SuiteError, TreeError
from harness.plugin import devices
from harness.plugin.command_line import command_line, refuse_beside, rerun_arguments, what_trains
from harness.plugin.gated_test import id_of
from harness.plugin.messages import failed, refuse
from harness.plugin.ownership import MARKER, uses
from harness.plugin.session import Session
from harness.recording.followed import ELSEWHERE
from harness.recording.project_files import is_of, name_of
from harness.recording.running import note
from harness.report.words import number
from harness.workers.executor import Executor, Needs, executor
from harness.workers.facts import digest, facts
from harness.workers.sent import Sent, not_run
from harness.workers.worker import FOLDER, Answer, Job


_OTHERS = {"--mpl-generate-path": "mpl_generate_path", "-n": "numprocesses", "--pdb": "usepdb"}
"""Options of sessions that need their tests in this process, and where pytest keeps them."""


class Sending:
    """Hooks that send tests away when all are collected, and take what they did in their place."""

    def __init__(self, config: pytest.Config, session: Session, executor: Executor) -> None:
        self._config, self._session, self._executor = config, session, executor
        self._where = str(config.getoption("--training-on"))
        self._facts: dict[str, str] = {}
        self._sent: Sent | None = None
        self._files: dict[str, list[str]] = {}  # of tests that were sent

    @classmethod
    def of(cls, config: pytest.Config, session: Session) -> Self:
        """Return the hooks, with the executor that the option names.

        Raises:
            SuiteError: there is none, it cannot be reached, or another option needs the tests here.
        """
        runs = not config.option.collectonly
        refuse_beside(config, _OTHERS if runs else {}, SuiteError.not_sent)
        made, address = executor(config.getoption("--training-on"))
        if runs:
            made.open(address)
        return cls(config, session, made)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send every test that checks a training; nothing of it but our fixture is set up here."""
        chosen = [item for item in session.items if isinstance(item, pytest.Function) and _is_sent(item)]
        if self._config.option.collectonly or session.testsfailed or not chosen:
            return
        self._session.shared.mkdir(parents=True, exist_ok=True)
        self._facts = facts(self._config.rootpath, self._session.cifar10 or "")
        try:
            self._sent = Sent(self._executor, self._session.shared, self._kept(), self._arrived)
            for item in chosen:
                item.fixturenames = ["training_regression"]
                self._files.setdefault(_file(item), []).append(id_of(item))
                self._sent.submit(self._job(item), _needs(item))
        except HarnessError as error:
            refuse(self._config, error)

    def _job(self, item: pytest.Function) -> Job:
        return Job(
            test=id_of(item),
            root=str(self._config.rootpath),
            directory=command_line(self._config)[1],
            arguments=rerun_arguments(self._config, Path(FOLDER)),
            facts=digest(self._facts),
            cifar10=self._session.cifar10 or "",
        )

    def _kept(self) -> Kept | None:
        """Return where records are kept; None where the project is in no git repository, or there is no room."""
        given = [self._where, *what_trains(self._config)]
        try:
            kept = Kept.of_code(self._config.rootpath, digest(self._facts), given)
            kept.use()
        except (TreeError, OSError):
            return None
        return kept

    def _arrived(self, answer: Answer) -> None:
        """Leave the recipes that a job trained where figures of this session look for them."""
        for name, content in answer.recipes.items():
            if Path(name).name == name:
                write(self._session.shared / name, content)

    def _answer(self, test: str) -> Answer:
        assert self._sent is not None, "it was sent"
        return self._sent.answer(test)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Have a test that draws what another one of its file trains wait for that."""
        if _file(item) in self._files and uses(item, "training") and not self._was_sent(item):
            for test in self._files[_file(item)]:
                self._answer(test)

    def _was_sent(self, item: pytest.Item) -> bool:
        return id_of(item) in self._files.get(_file(item), ())

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Take what a test did elsewhere in the place of running it."""
        __tracebackhide__ = True
        if not self._was_sent(pyfuncitem):
            return None
        test = id_of(pyfuncitem)
        answer = self._answer(test)
        self._require(test, answer)
        read = [file for file in map(Path, answer.read) if is_of(self._config.rootpath, file)]
        self._doubt(read)
        regression: Any = pyfuncitem.funcargs["training_regression"]
        for handed in answer.checks:
            regression.receive(handed, [file for file in read if file.suffix == ".py"])
        if answer.end == "failed":
            raise failed(answer.text, answer.cause)
        return True

    def _doubt(self, read: Sequence[Path]) -> None:
        """Note that a worker may have run lines of files: which, it does not say."""
        for file in read:
            note(self._session.ran, name_of(self._config.rootpath, file), ELSEWHERE)

    def _require(self, test: str, answer: Answer) -> None:
        """Raise what a test means that did not run, or not to its end."""
        if answer.end == "skipped":
            pytest.skip(answer.text)
        if answer.end == "xfailed":
            pytest.xfail(answer.text)
        if answer.end not in ("passed", "failed"):
            raise not_run(test, answer, self._facts)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Let the workers go, and say what they did."""
        if self._sent:
            self._sent.close()
            self._session.counts.notes.append(self._said(self._sent))
        elif not self._config.option.collectonly:
            self._executor.close()

    def _said(self, sent: Sent) -> str:
        kept, lost, jobs = (sent.counts[name] for name in ("kept", "lost", "jobs"))
        unasked, given_up = sent.counts["unasked"], sent.counts["given up"]
        parts = [f"{number(jobs - kept, 'test')} ran on {self._where}"]
        parts += [f"{kept} kept from before by the same code"] if kept else []
        parts += [f"{number(lost, 'worker')} lost"] if lost else []
        parts += [f"{number(unasked, 'test')} not compared"] if unasked else []
        parts += [f"{given_up} given up: the session had stopped"] if given_up else []
        return ", ".join(parts)


def _is_sent(item: pytest.Item) -> bool:
    plain = type(item) is pytest.Function and uses(item, "training_regression")
    return plain and not item.get_closest_marker(MARKER) and not item.get_closest_marker("skip")


def _file(item: pytest.Item) -> str:
    return id_of(item).partition("::")[0]


def _needs(item: pytest.Item) -> Needs:
    marked = [str(name) for mark in item.iter_markers("device") for name in mark.args]
    device = devices.device_of(item) or next(iter(marked), "cpu")
    kind = next((name for name in marked if devices.kind_of(name) == devices.kind_of(device)), device)
    return Needs(devices.kind_of(kind), devices.model_of(kind))
