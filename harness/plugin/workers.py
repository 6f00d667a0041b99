"""pytest-xdist: collect what the workers counted."""

from pathlib import Path
from typing import Any

from harness.plugin.rerun import command_line
from harness.plugin.session import SESSION, Session


__all__ = ["Workers"]


class Workers:
    """Hooks that exist only beside pytest-xdist."""

    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker the command line, and fetch CIFAR-10 once, before the workers would do it side by side."""
        session = node.config.stash[SESSION]
        node.workerinput["training_regression"] = command_line(node.config)
        node.workerinput["training_regression_figures"] = str(_figures(session))
        node.workerinput["training_regression_results"] = str(session.outcome.kept)
        if session.cifar10 == "download":
            from harness.data import load_dataset

            load_dataset("cifar10", "download")

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add a finished worker's counts; a crashed one has none."""
        if counts := getattr(node, "workeroutput", {}).get("training_regression"):
            node.config.stash[SESSION].counts.add(counts)


def _figures(session: Session) -> Path:
    """Return the folder of the pictures; where none can be made, the workers say so if they have a test of ours."""
    try:
        return session.figures
    except OSError:
        return session.output / "figures"
