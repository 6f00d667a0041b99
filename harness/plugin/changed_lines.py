"""Changed lines that no gated training runs: what has changed is asked before tests are imported."""

import contextlib
import fnmatch
import inspect
import sys
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import msgspec
import pytest

from harness.explaining.never_run import NeverRun, heads, never_run, statements
from harness.plugin import whole_project
from harness.plugin.session import Session
from harness.recording.imported import told
from harness.recording.running import Running, noted
from harness.report.ledger import Ledger


_ELSEWHERE = "another process ran it"
_COMPILED = "torch.compile traced it"


class ChangedLines:
    """What has changed in a project's Python files since its baselines, and what of it runs.

    Args:
        session: the session's state.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def changed(self) -> Mapping[str, list[int]]:
        """Path from the root to the lines that the commit of the last baselines does not have.

        Nothing in a session that runs a part of the tests: it does not know what the others run.
        """
        session, config = self._session, self._session.config
        if hasattr(config, "workerinput"):
            given: dict[str, list[int]] = config.workerinput["training_regression_changed"]
            return given
        is_part = session.shard or config.option.collectonly or whole_project.is_narrowed(config)
        if is_part or session.generate_path or not session.read_baselines.is_dir():
            return {}
        base = session.git.bringing(session.read_baselines)
        return session.git.changed_lines(base) if base else {}

    @property
    def _log(self) -> Path:
        return self._session.shared / "ran"

    def watch(self, is_gated: Callable[[pytest.Item], bool]) -> None:
        """Watch what runs from now on, if anything has changed; where workers run the tests, they do.

        Args:
            is_gated: tells whether a test's trainings are.
        """
        plugins, root = self._session.config.pluginmanager, self._session.config.rootpath
        if self.changed and not plugins.hasplugin("dsession"):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            sources = {name: self._source(name) for name in self.changed}
            at_import = {name: heads(source) for name, source in sources.items()}
            wanted = {name: at_import[name].union(*self._proofs(name, source)) for name, source in sources.items()}
            plugins.register(_Watch(self._session, Running(root, self._log, wanted, at_import), wanted, is_gated))

    def _source(self, name: str) -> bytes:
        try:
            return (self._session.config.rootpath / name).read_bytes()
        except OSError:  # a link to nowhere
            return b""

    def _proofs(self, name: str, source: bytes) -> Iterator[frozenset[int]]:
        return (each.proof for each in statements(source) if each.touches(self.changed[name]))

    def judged(self, ledger: Ledger, tests: Collection[str]) -> Ledger:
        """Return a ledger with what changed and never ran, if every baseline of it was reached.

        Args:
            ledger: of the session.
            tests: files with gated tests.
        """
        if not self.changed or any(entry.fate in ("deselected", "not reached") for entry in ledger.baselines):
            return ledger
        seen = noted(self._log)
        if why := seen.get(""):
            return msgspec.structs.replace(ledger, unwatched=", ".join(sorted(why)))
        found = [
            self._judged(name, seen.get(name, set())) for name in sorted(self.changed) if self._counts(name, tests)
        ]
        return msgspec.structs.replace(ledger, never_run=[each for each in found if each])

    def _counts(self, name: str, tests: Collection[str]) -> bool:
        """Tell whether a file can be imported, and is none of tests that train nothing."""
        path = Path(name)
        patterns = self._session.config.getini("python_files")
        is_of_tests = any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)
        return (name in tests or not is_of_tests) and all(map(str.isidentifier, path.with_suffix("").parts))

    def _judged(self, name: str, noted: Collection[str]) -> NeverRun | None:
        """Return what of a file never ran; None if all of it did, or nothing in it does anything."""
        everything = statements(self._source(name))
        ran = {int(line) for line in noted if line.isdigit()}
        doubt = " or ".join(sorted(each for each in noted if not each.isdigit()))
        parts = never_run(everything, self.changed[name], ran)
        return NeverRun(path=name, lines=parts if noted else [], doubt=doubt) if parts else None


class _Watch:
    """Hooks that tell when what runs counts: while files are imported, shared fixtures are built, gated tests run."""

    def __init__(
        self, session: Session, running: Running, names: Collection[str], is_gated: Callable[[pytest.Item], bool]
    ) -> None:
        self._session, self._running, self._names, self._is_gated = session, running, names, is_gated

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Count what a gated test runs; one that is not is no training code itself."""
        gated = self._is_gated(item)
        if not gated and (function := getattr(item, "function", None)):
            self._running.take(inspect.unwrap(function).__code__)
        with self._running.counting(gated):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: "pytest.FixtureDef[object]") -> Generator[None, object, object]:
        """Count what a fixture runs that a gated test may share with the one that asks for it first."""
        with contextlib.nullcontext() if fixturedef.scope == "function" else self._running.counting(True):
            return (yield)

    def pytest_sessionfinish(self) -> None:
        """Note what cannot be seen from here."""
        root = self._session.config.rootpath
        elsewhere = {
            file.relative_to(root).as_posix() for file in told(self._session.imported) if file.is_relative_to(root)
        }
        for name in elsewhere.intersection(self._names):
            self._running.note(name, _ELSEWHERE)
        if getattr(sys.modules.get("torch._dynamo.utils"), "counters", {}).get("frames"):
            for name in self._names:
                self._running.note(name, _COMPILED)
        self._running.close()
