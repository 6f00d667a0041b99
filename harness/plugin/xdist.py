"""pytest-xdist: deal out the tests by training, and collect what the workers counted. Imported only beside it."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from xdist.scheduler import LoadScheduling

from harness.atomic_files import write
from harness.errors import SuiteError
from harness.plugin.claims import CLAIMS
from harness.plugin.command_line import command_line, from_controller
from harness.plugin.ownership import arguments, reached, uses
from harness.plugin.session import SESSION


_FILE = "groups.json"
_LEAST = 2
"""Tests that a worker has to have: it starts one when it knows the next."""


class _ByTraining(LoadScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """Deals out tests as `--dist load` does, but those of one training together."""

    def __init__(self, config: pytest.Config, log: Any, folder: Path) -> None:
        super().__init__(config, log)
        self._folder = folder
        self._groups: dict[str, str] = {}

    def schedule(self) -> None:
        """Deal out the first tests, when all workers have collected."""
        file = self._folder / _FILE  # not there if no test trains
        self._groups = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        super().schedule()

    def _send_tests(self, node: Any, num: int) -> None:
        groups = [self._groups.get(self.collection[index], "") for index in self.pending]
        sent = [self.pending[place] for place in chosen(groups, num)]
        if sent:
            gone = set(sent)
            self.pending[:] = [index for index in self.pending if index not in gone]
            self.node2pending[node].extend(sent)
            node.send_runtest_some(sent)


def chosen(groups: Sequence[str], count: int) -> list[int]:
    """Choose the tests that a worker gets: about as many as it is to get, of one training, and all that are of it.

    Args:
        groups: of the tests that wait, in order; empty for one that does not train.
        count: how many tests the worker is to get.

    Returns:
        Places in `groups`. Where one training has a single test, those of a second one are among them.
    """
    taken: list[int] = []
    whole: set[str] = set()
    for place, group in enumerate(groups):
        second = bool(group and whole - {group})
        if len(taken) >= (min(count, _LEAST) if second else count):
            break
        taken.append(place)
        whole |= {group} - {""}
    rest = range(len(taken), len(groups))
    return taken + [place for place in rest if groups[place] in whole]


def write_groups(items: Sequence[pytest.Item], folder: Path) -> None:
    """Leave for the controller, which collects no tests, in which group each test of a training is."""
    asked = [(item, _shared(item)) for item in items]
    holders = {place for item, fixtures in asked for place in _holders(item, fixtures)}
    found = {item.nodeid: _group(item, [one for one in fixtures if one.place in holders]) for item, fixtures in asked}
    if groups := {nodeid: group for nodeid, group in found.items() if group}:
        write(folder / _FILE, json.dumps(groups).encode())


class _Shared(NamedTuple):
    """A fixture that tests of one module or class share: its name, where, and all that it asks for, itself included."""

    name: str
    place: str
    needed: frozenset[str]


def _holders(item: pytest.Item, fixtures: Sequence[_Shared]) -> set[str]:
    """Return the places of fixtures that keep for several tests what was trained: by `training`, or by a loop.

    A loop's is taken to be what a test asks for beside `training_regression`.
    """
    holding = [one for one in fixtures if "training" in one.needed]
    if not holding and uses(item, "training_regression"):
        holding = [one for one in fixtures if one.name in arguments(item)]
    return {one.place for one in holding}


def _group(item: pytest.Item, holding: Sequence[_Shared]) -> str:
    """Return what tests of one training have in common: the fixtures that hold it, and the parameters of these.

    A test that trains for itself is alone in its group; one that does not train is in none.
    """
    trained = [one for one in holding if "training" in one.needed]
    # of those that trained, the ones that the others are made from
    first = [one for one in trained if not any(other.name in one.needed for other in trained if other != one)]
    if not (sources := first or holding):
        return item.nodeid if uses(item, "training", "training_regression") else ""
    indices = getattr(getattr(item, "callspec", None), "indices", {})
    parameters = sorted(frozenset().union(*(one.needed for one in sources)) & indices.keys())
    return json.dumps([sorted(one.place for one in sources), {name: indices[name] for name in parameters}])


def _shared(item: pytest.Item) -> list[_Shared]:
    """Return the project's fixtures that a test asks for and shares with others of its module or class.

    Not with all of a session: that would bring everything into one worker.
    """
    kinds: dict[str, Any] = {"class": pytest.Class, "module": pytest.Module}
    found: dict[str, _Shared] = {}
    for definition in reached(item, arguments(item)):
        kind, name = kinds.get(definition.scope), definition.argname
        if kind and definition.baseid:  # those of plugins have none
            parent = item.getparent(kind)
            place = f"{parent.nodeid if parent else definition.baseid}::{name}"
            needed = frozenset(each.argname for each in reached(item, [name]))
            found.setdefault(name, _Shared(name, place, needed))
    return [*found.values()]


class Workers:
    """Hooks that exist only beside pytest-xdist."""

    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker the command line; fetch CIFAR-10 once, before the workers would do it side by side."""
        session, place = node.config.stash[SESSION], node.gateway.spec
        if session.generate_path and (place.chdir or not place.popen):
            raise pytest.UsageError(str(SuiteError.workers_elsewhere(folder=place.chdir or "")))
        changed = node.config.stash[CLAIMS].changes.changed
        node.workerinput["training_regression"] = {
            "command_line": command_line(node.config),
            "started": session.started,
            "commit": session.against and session.against.commit,
            "around": session.against and session.against.around,
            "output": str(session.output),
            "figures": str(session.figures),
            "tensorboard": str(session.tensorboard),
            "kept": str(session.report.kept),
            "changed": {name: sorted(lines) for name, lines in changed.items()},
        }
        if session.cifar10 == "download":
            from harness.shipped.load import load_dataset

            load_dataset("cifar10", "download")

    @pytest.hookimpl(tryfirst=True)  # before the worker tells its controller that it has collected
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller which tests share a training."""
        state = session.config.stash[SESSION]
        if from_controller(session.config):
            with state.report.noted():
                write_groups(session.items, state.shared)

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Generator[None, Any, Any]:
        """Keep tests of one training together, unless command line or project have them dealt out in another way."""
        scheduler = yield  # what pytest-xdist or the project has chosen; its own is for `--dist load`
        return (
            _ByTraining(config, log, config.stash[SESSION].shared) if type(scheduler) is LoadScheduling else scheduler
        )

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add a finished worker's counts; a crashed one has none."""
        if counts := getattr(node, "workeroutput", {}).get("training_regression"):
            node.config.stash[SESSION].counts.add(counts)
