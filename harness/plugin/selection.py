"""Which tests run when baselines are written: all, those without a baseline, those that failed."""

import glob
from collections.abc import Collection, Mapping, Sequence

import pytest

from harness.baselines.failed import candidates
from harness.errors import SuiteError
from harness.plugin.gated_test import id_of
from harness.plugin.session import Session


def select(
    config: pytest.Config, session: Session, items: list[pytest.Item], files: Mapping[str, Collection[str]]
) -> None:
    """Take away the tests that --only-missing and --only-failing leave out.

    Args:
        config: of the session.
        session: the session's state.
        items: the collected tests; what is left out is removed.
        files: id of a test to the names of its baselines.

    Raises:
        SuiteError: no baselines are written in this session.
        AcceptError: what failed cannot be read.
    """
    options = [name for name in ("--only-missing", "--only-failing") if config.getoption(name)]
    if not options:
        return
    if not session.generate_path:
        raise SuiteError.not_generating(option=options[0])
    wanted = {test for item in items if (test := id_of(item)) in files}
    if "--only-missing" in options:
        wanted = {test for test in wanted if not all(_stands(session, file) for file in files[test])}
    if "--only-failing" in options:
        wanted &= {candidate.test for candidate in candidates(session.failed)}
    _keep(config, items, wanted)


def _stands(session: Session, file: str) -> bool:
    """Tell whether a test has a baseline; records may have a name of their own after a comma.

    Whether a record has one of this environment too, where such are added, shows when it has been trained.
    """
    if session.adds_environment and file.endswith(".json"):
        return False
    stem, _, extension = file.rpartition(".")
    others = session.baselines.glob(f"{glob.escape(stem)},*.{extension}")
    return (session.baselines / file).exists() or any(others)


def _keep(config: pytest.Config, items: list[pytest.Item], wanted: Collection[str]) -> None:
    left_out: Sequence[pytest.Item] = [item for item in items if id_of(item) not in wanted]
    items[:] = [item for item in items if id_of(item) in wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def sees_all(session: pytest.Session) -> bool:
    """Tell whether a session collected all tests: nothing on the command line narrows them, and all could be read."""
    config = session.config
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    narrowed = any(config.getoption(name, None) for name in ("lf", "ignore", "ignore_glob", "stepwise"))
    return whole and not narrowed and not session.testsfailed
