"""pytest-xdist: deal out the tests by training, and collect what the workers counted. Imported only beside it."""

from collections.abc import Generator
from typing import Any

import pytest

from harness.plugin.groups import by_training, write_groups
from harness.plugin.rerun import command_line
from harness.plugin.session import SESSION


__all__ = ["Workers"]


class Workers:
    """Hooks that exist only beside pytest-xdist."""

    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker the command line, and fetch CIFAR-10 once, before the workers would do it side by side."""
        session = node.config.stash[SESSION]
        node.workerinput["training_regression"] = command_line(node.config)
        node.workerinput["training_regression_figures"] = str(session.figures)
        node.workerinput["training_regression_tensorboard"] = str(session.tensorboard)
        node.workerinput["training_regression_results"] = str(session.outcome.kept)
        if session.cifar10 == "download":
            from harness.data import load_dataset

            load_dataset("cifar10", "download")

    @pytest.hookimpl(tryfirst=True)  # before the worker tells its controller that it has collected
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller which tests share a training."""
        state = session.config.stash[SESSION]
        if hasattr(session.config, "workerinput"):
            with state.outcome.noted():
                write_groups(session.items, state.shared)

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Generator[None, Any, Any]:
        """Keep tests of one training together, unless command line or project have them dealt out in another way."""
        return by_training((yield), config, log, config.stash[SESSION].shared)

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add a finished worker's counts; a crashed one has none."""
        if counts := getattr(node, "workeroutput", {}).get("training_regression"):
            node.config.stash[SESSION].counts.add(counts)
