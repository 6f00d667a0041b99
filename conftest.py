"""Settings that all tests share."""

from hypothesis import settings


pytest_plugins = ["pytester"]
collect_ignore = ["tests/examples"]  # projects of their own, which tests/test_examples.py runs

# no deadline: a slow machine is not a failure; the same examples everywhere: neither is bad luck
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("suite")
