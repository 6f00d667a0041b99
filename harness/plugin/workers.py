"""pytest-xdist: collect what the workers counted."""

from typing import Any

from harness.plugin.session import SESSION


__all__ = ["Workers"]


class Workers:
    """Hooks that exist only beside pytest-xdist."""

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add a finished worker's counts; a crashed one has none."""
        if counts := getattr(node, "workeroutput", {}).get("training_regression"):
            node.config.stash[SESSION].counts.add(counts)
