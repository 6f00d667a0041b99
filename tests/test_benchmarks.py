"""The benchmarks run; what they measure is for people to read."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import Recipe
from tests.benchmarks import step


ROOT = Path(__file__).parents[1]
SMALL = Recipe(width=2, epochs=2, train_images=20, test_images=20, batch_size=8, warmup_steps=1)


@pytest.fixture
def threads():
    """The number of threads, which a benchmark of one core sets, is as it was afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.long
@pytest.mark.usefixtures("threads")
def test_step_prints_its_table(monkeypatch, capsys):
    """A row for each pair of loops, with its verdict, and whole trainings, which have no limit."""
    row = step.Row("small against the bare step", SMALL, step.bare, "at most", 99.0)
    monkeypatch.setattr(step, "rows", lambda: [row])
    monkeypatch.setattr(step.recipes, "cifar_cnn", lambda data: SMALL)
    monkeypatch.setattr(sys, "argv", ["step", "--seconds", "0"])
    step.main()

    pytest.LineMatcher(capsys.readouterr().out.splitlines()).fnmatch_lines(
        [
            "torch *, 1 thread, *",
            "data: *;*",
            "what * ours * theirs * ratio * must be",
            "small against the bare step * at most 99.00  ok",
            "cifar_cnn, recorded *  -",
            "cifar_cnn, recorded, with TensorBoard *  -",
            "cifar_cnn, recorded, with TensorBoard and figures *  -",
        ]
    )


def test_step_measures_what_has_a_limit():
    """The shipped recipes and two sizes of step against the bare one, and the article's program against its own."""
    assert [(row.what, row.must, row.limit) for row in step.rows()] == [
        ("cifar_cnn against the bare step", "at most", 1.10),
        ("cifar_resnet against the bare step", "at most", 1.10),
        ("article against the bare step", "at most", 1.10),
        ("cifar_resnet, 22 images against the bare step", "at most", 1.10),
        ("cifar_cnn, width 28 against the bare step", "at most", 1.03),
        ("article, float32, against its own loop", "below", 1.0),
    ]


@pytest.mark.long
def test_collection_prints_its_table():
    """Each way to collect the same tests has its seconds and its ratio."""
    command = [sys.executable, "-m", "tests.benchmarks.collection", "--files", "1", "--rounds", "1"]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True, timeout=120)

    pytest.LineMatcher(result.stdout.splitlines()).fnmatch_lines(
        [
            "collecting 100 tests, median of 1 rounds",
            "pytest-mpl alone * s   with the plugin over it *",
            "likewise, with a parameter * s   with the plugin over it *",
            "with the plugin * s   with the plugin over it 1.000",
        ]
    )
