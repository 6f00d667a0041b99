"""Which tests run when baselines are written: all, those without a baseline, those that failed."""

import glob
from collections.abc import Collection, Mapping, Sequence

import pytest

from harness.baselines.failed import candidates
from harness.plugin.gated_test import id_of
from harness.plugin.session import Session


def select(
    config: pytest.Config, session: Session, items: list[pytest.Item], files: Mapping[str, Collection[str]]
) -> None:
    """Take away the tests that --training-generate=missing and =failing leave out; `files` are those that each owns.

    Raises:
        AcceptError: what failed cannot be read.
    """
    options = config.getoption("--training-generate")
    if not {"missing", "failing"}.intersection(options):
        return
    wanted = {test for item in items if (test := id_of(item)) in files}
    if "missing" in options:
        wanted = {test for test in wanted if not all(_stands(session, file) for file in files[test])}
    if "failing" in options:
        wanted &= {candidate.test for candidate in candidates(session.failed)}
    keep(config, items, wanted)


def _stands(session: Session, file: str) -> bool:
    """Tell whether a test has a baseline; records may have a name of their own after a comma.

    Whether a record has one of this environment too, where such are added, shows when it has been trained.
    """
    if session.adds_environment and file.endswith(".json"):
        return False
    stem, _, extension = file.rpartition(".")
    others = session.baselines.glob(f"{glob.escape(stem)},*.{extension}")
    return (session.baselines / file).exists() or any(others)


def keep(config: pytest.Config, items: list[pytest.Item], wanted: Collection[str]) -> None:
    """Take away all tests but some, by their ids."""
    left_out: Sequence[pytest.Item] = [item for item in items if id_of(item) not in wanted]
    items[:] = [item for item in items if id_of(item) in wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def deal(config: pytest.Config, items: list[pytest.Item], shard: str) -> bool:
    """Take away the tests of other shards: modules are dealt out in turn, since tests of one share trainings.

    Returns:
        Whether there were tests, and all are of other shards.
    """
    if not (shard and items and config.getoption("--training-shard")):
        return False
    index, number = map(int, shard.split("/"))
    modules = sorted({id_of(item).partition("::")[0] for item in items})
    mine = {*modules[index - 1 :: number]}
    keep(config, items, {test for item in items if (test := id_of(item)).partition("::")[0] in mine})
    return not items
