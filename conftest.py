"""Settings that all tests share."""

import contextlib
import os

import pytest


pytest_plugins = ["pytester"]
collect_ignore = ["tests/examples"]  # projects of their own, which tests/test_examples.py runs

with contextlib.suppress(ModuleNotFoundError):  # the gate runs without the extra `test`
    from hypothesis import settings

    # no deadline: a slow machine is not a failure; the same examples everywhere: neither is bad luck
    settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
    settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what takes long to whoever asks for it."""
    for item in items:
        if item.get_closest_marker("long") and "HARNESS_LONG" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="takes long: python -m tests.long"))
