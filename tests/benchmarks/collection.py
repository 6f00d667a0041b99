"""What the plugin adds to collecting 5,000 gated tests: `python -m tests.benchmarks.collection`.

The same tests are collected by pytest with pytest-mpl alone, once as they are and once with a parameter as `device` has
it, and by pytest with this plugin, in turn; the median of each is printed. No test is run.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


_TESTS = 100
"""Of a file; half of them are figures."""

_RECORD = "def test_{}(training, training_regression):\n    training_regression.check(training(...))\n\n"
_FIGURE = "@pytest.mark.mpl_image_compare\ndef test_{}(training):\n    return training(...)\n\n"
_FIXTURES = """import pytest

@pytest.fixture(scope="session")
def device(request):
    return getattr(request, "param", "cpu")

@pytest.fixture(scope="session")
def training(device):
    return device

@pytest.fixture
def training_regression(device):
    return device
"""
_PARAMETER = """
def pytest_generate_tests(metafunc):
    metafunc.parametrize("device", ["cpu"], indirect=True, scope="session")
"""
_ALONE = ["-p", "no:training_regression"]


def main() -> None:
    """Collect in turn; print seconds and ratios."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.collection")
    parser.add_argument("--files", type=int, default=50, help=f"of {_TESTS} tests each")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "pytest-mpl alone": (_project(Path(folder, "alone"), _FIXTURES, given.files), _ALONE),
            "likewise, with a parameter": (_project(Path(folder, "both"), _FIXTURES + _PARAMETER, given.files), _ALONE),
            "with the plugin": (_project(Path(folder, "ours"), "", given.files), []),
        }
        rounds = [{name: _seconds(*way) for name, way in ways.items()} for _ in range(1 + given.rounds)][1:]
    medians = {name: statistics.median(seconds[name] for seconds in rounds) for name in ways}
    print(f"collecting {given.files * _TESTS} tests, median of {given.rounds} rounds")
    for name, seconds in medians.items():
        ratios = (one["with the plugin"] / one[name] for one in rounds)
        print(f"{name:<28} {seconds:.2f} s   with the plugin over it {statistics.median(ratios):.3f}")


def _project(folder: Path, conftest: str, files: int) -> Path:
    folder.mkdir()
    tests = "".join((_RECORD if number % 2 else _FIGURE).format(number) for number in range(_TESTS))
    for number in range(files):
        (folder / f"test_{number}.py").write_text(f"import pytest\n\n{tests}")
    (folder / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def _seconds(folder: Path, options: list[str]) -> float:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--mpl", "-p", "no:hypothesispytest", *options]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
