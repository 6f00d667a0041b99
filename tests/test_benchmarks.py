"""The benchmarks run; what they measure is for people to read."""

import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]


def printed(benchmark, *options):
    """What a benchmark prints, if it comes to its end."""
    command = [sys.executable, "-m", f"tests.benchmarks.{benchmark}", *options]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return pytest.LineMatcher(result.stdout.splitlines())


def test_step_prints_its_table(monkeypatch):
    """Even a tiny budget gives every row, whole trainings too; those have no limit."""
    monkeypatch.delenv("HARNESS_CIFAR10", raising=False)  # so that the embedded set serves
    printed("step", "--seconds", "2").fnmatch_lines(
        [
            "torch *, 1 thread, *",
            "data: synthetic;*",
            "what * ours * theirs * ratio * must be",
            "cifar_cnn against the bare step * at most 1.10  o*",
            "cifar_resnet against the bare step * at most 1.10  o*",
            "article against the bare step * at most 1.10  o*",
            "cifar_resnet, 20 images against the bare step * at most 1.10  o*",
            "cifar_cnn, width 20 against the bare step * at most 1.03  o*",
            "article, float32, against its own loop * below 1.00  o*",
            "cifar_cnn, recorded *  -",
            "cifar_cnn, recorded, with TensorBoard *  -",
            "cifar_cnn, recorded, with TensorBoard and figures *  -",
        ]
    )


def test_collection_prints_its_table():
    """Each way to collect the same tests has its seconds and its ratio."""
    printed("collection", "--files", "1", "--rounds", "1").fnmatch_lines(
        [
            "collecting 100 tests, median of 1 rounds",
            "pytest-mpl alone * s   with the plugin over it *",
            "likewise, with a parameter * s   with the plugin over it *",
            "with the plugin * s   with the plugin over it 1.000",
        ]
    )
