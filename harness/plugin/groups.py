"""Which tests share a training, so that one worker of pytest-xdist runs them all: the others need not wait for it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from harness.files import write
from harness.plugin.fixtures import definitions_of, uses


__all__ = ["ByTraining", "scopes", "write_groups"]

_FILE = "groups.json"
_TRAINING = ("training", "training_regression")
_UNITS_PER_WORKER = 32
"""Units of other tests that each worker gets on average: small enough that all end at about the same time."""


def write_groups(items: Iterable[pytest.Item], folder: Path) -> None:
    """Leave for the controller, which collects no tests, in which group each test of a training is.

    Args:
        items: all that were collected.
        folder: of this session and no other.
    """
    groups = {item.nodeid: _group(item) for item in items if uses(item, *_TRAINING)}
    if groups:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / _FILE, json.dumps(groups).encode())


class ByTraining(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """Deals out units of tests: those of one training, or a few neighbours that do not train.

    Args:
        config: of the session.
        log: pytest-xdist's.
        folder: where workers leave the groups.
    """

    def __init__(self, config: pytest.Config, log: Any, folder: Path) -> None:
        super().__init__(config, log)
        self._folder = folder
        self._scopes: dict[str, str] = {}

    def schedule(self) -> None:
        """Form the units when all workers have collected, and deal them out."""
        if not self._scopes:
            (collection, *_) = self.registered_collections.values()
            self._scopes = scopes(collection, _read_groups(self._folder), len(self.nodes))
        super().schedule()

    def remove_node(self, node: Any) -> str | None:
        """Give what a worker has left to the others; the test in which it crashed is not run again, as for `load`."""
        units = self.assigned_work.pop(node)
        crashed = next((nodeid for unit in units.values() for nodeid, done in unit.items() if not done), None)
        for scope, unit in units.items():
            left = {nodeid: done for nodeid, done in unit.items() if not done and nodeid != crashed}
            if left:
                self.workqueue[scope] = left
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        return self._scopes[nodeid]


def _read_groups(folder: Path) -> dict[str, str]:
    """Return what a worker left: test to group; nothing if no test trains."""
    file = folder / _FILE
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def scopes(collection: Sequence[str], groups: Mapping[str, str], workers: int) -> dict[str, str]:
    """Return which unit of work each test is in: its group, or with its neighbours among the tests that do not train.

    Args:
        collection: ids of all tests, in order.
        groups: test to group, of those that train.
        workers: that the units are for.
    """
    others = [nodeid for nodeid in collection if nodeid not in groups]
    size = max(1, len(others) // (_UNITS_PER_WORKER * workers))
    return {**{nodeid: f"others {i // size}" for i, nodeid in enumerate(others)}, **groups}


def _group(item: pytest.Item) -> str:
    """Return what tests of one training have in common: the fixtures that hold it, and the parameters of these.

    A test that trains for itself is alone in its group.
    """
    definitions = definitions_of(item)
    holding = sorted(name for name in definitions if _holds_training(name, definitions))
    if not holding:
        return item.nodeid
    names = {needed for name in holding for needed in _needed(name, definitions)}
    indices = getattr(getattr(item, "callspec", None), "indices", {})
    places = [_place(item, definitions[name]) for name in holding]
    return json.dumps([places, {name: indices[name] for name in sorted(names & indices.keys())}])


def _holds_training(name: str, definitions: Mapping[str, Any]) -> bool:
    """Tell whether a fixture keeps what it trained for several tests."""
    shared = name not in _TRAINING and definitions[name].scope != "function"
    return shared and "training" in _needed(name, definitions)


def _needed(name: str, definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a fixture and of all that it asks for, directly or not."""
    pending, seen = [name], set[str]()
    while pending:
        if (current := pending.pop()) not in seen:
            seen.add(current)
            yield current
            pending += definitions[current].argnames if current in definitions else ()


def _place(item: pytest.Item, definition: Any) -> str:
    """Return where a fixture's value is shared: in a class, a module, or wherever it can be seen."""
    kind: Any = {"class": pytest.Class, "module": pytest.Module}.get(definition.scope)
    parent = item.getparent(kind) if kind else None
    return f"{parent.nodeid if parent else definition.baseid}::{definition.argname}"
