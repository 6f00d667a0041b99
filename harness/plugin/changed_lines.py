"""Changed lines that no gated training runs: what has changed is asked before tests are imported."""

import contextlib
import fnmatch
import inspect
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import msgspec
import pytest

from harness.errors import HarnessError
from harness.plugin import whole_project
from harness.plugin.command_line import from_controller
from harness.plugin.session import Session
from harness.recording.followed import asking, write_wanted
from harness.recording.imported import is_installed
from harness.recording.running import Running, noted


if TYPE_CHECKING:
    from harness.explaining.changed_files import ChangedFiles
    from harness.report.ledger import Ledger


class ChangedLines:
    """What has changed in a project's Python files since its baselines, and what of it runs."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def changed(self) -> Mapping[str, frozenset[int]]:
        """Path from the root to the lines that the commit of the last baselines does not have.

        Nothing in a session that runs a part of the tests: it does not know what the others run.
        """
        config = self._session.config
        if given := from_controller(config):
            return {name: frozenset(lines) for name, lines in given["changed"].items()}
        if self._session.shard or config.option.collectonly or whole_project.is_narrowed(config):
            return {}
        with contextlib.suppress(HarnessError):  # said where it is in the way
            found = self._session.git.changed_lines(self._base())
            return {name: frozenset(lines) for name, lines in found.items() if _is_module(Path(name))}
        return {}

    def _base(self) -> str:
        """Return the commit whose code the baselines are of; empty if git knows none, or none is compared."""
        session = self._session
        if session.against:
            return session.against.commit
        compares = not session.generate_path and any(session.read_baselines.glob("*.json"))
        return session.git.bringing(session.read_baselines) if compares else ""

    @cached_property
    def _changes(self) -> "ChangedFiles":
        from harness.explaining.changed_files import ChangedFiles

        return ChangedFiles(self._session.config.rootpath, self.changed)

    def watch(self, is_gated: Callable[[pytest.Item], bool]) -> None:
        """Watch what runs from now on in gated tests, if anything has changed; where workers run the tests, they do."""
        plugins = self._session.config.pluginmanager
        if self.changed and not plugins.hasplugin("dsession"):
            self._session.ran.parent.mkdir(parents=True, exist_ok=True)
            place = self._session.config.rootpath, self._session.ran, self._changes.wanted, self._changes.heads
            write_wanted(file := self._session.ran.with_name("wanted.json"), *place)
            plugins.register(_Watch(Running(*place), file, is_gated))

    def judged(self, ledger: "Ledger", tests: Collection[str]) -> "Ledger":
        """Return a ledger with what changed and never ran, if all its baselines were reached; `tests` are files."""
        partial = any(entry.fate in ("deselected", "not reached") for entry in ledger.baselines)
        if partial or not self._session.ran.exists():
            return ledger
        seen = noted(self._session.ran)
        if why := seen.get(""):
            return msgspec.structs.replace(ledger, unwatched=", ".join(sorted(why)))
        names = [name for name in self._changes.heads if name in tests or not self._is_of_tests(name)]
        return msgspec.structs.replace(ledger, never_run=self._changes.never_run(names, seen))

    def _is_of_tests(self, name: str) -> bool:
        patterns = self._session.config.getini("python_files")
        return any(fnmatch.fnmatch(Path(name).name, pattern) for pattern in patterns)


def _is_module(file: Path) -> bool:
    return file.stem.isidentifier() and not is_installed(file)


class _Watch:
    """Hooks that tell what counts of what runs: while files are imported, shared fixtures built, gated tests run."""

    def __init__(self, running: Running, file: Path, is_gated: Callable[[pytest.Item], bool]) -> None:
        self._running, self._is_gated = running, is_gated
        self._file = file  # tells other processes what is looked for (`followed.asking`)
        self._gated: list[str] | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Count what processes run that are started while files are imported, as what runs here."""
        with asking(self._file):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Count what a gated test runs; any other is no training code itself."""
        gated = self._is_gated(item)
        function = inspect.unwrap(item.function) if isinstance(item, pytest.Function) else None
        if isinstance(function, FunctionType) and not gated:
            self._running.take(function.__code__)
        with self._counting() if gated else self._running.counting(False):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: "pytest.FixtureDef[object]", request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Count what a fixture runs that a gated test may share with the one that asks for it first."""
        if self._gated is None:
            self._gated = [item.nodeid for item in request.session.items if self._is_gated(item)]
        shared = fixturedef.scope != "function" and any(each.startswith(fixturedef.baseid) for each in self._gated)
        with self._counting() if shared else contextlib.nullcontext():
            return (yield)

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        """Count what runs in a block, here and in processes that are started in it."""
        with self._running.counting(True), asking(self._file):
            yield

    def pytest_sessionfinish(self) -> None:
        """Note no more."""
        self._running.close()
