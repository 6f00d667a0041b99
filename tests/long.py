"""The tests that start many processes: `python -m tests.long` runs them, and the suite a small form of each."""

import os
import sys

import pytest


def main() -> int:
    """Run them; return pytest's exit status."""
    os.environ["HARNESS_LONG"] = "1"
    return int(pytest.main(["--mpl", "-m", "long", "tests"]))


if __name__ == "__main__":
    sys.exit(main())
