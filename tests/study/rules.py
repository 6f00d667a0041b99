"""What turns a run red: our comparison, and the rules that others use, each on the same runs."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images

from harness import Record, compare, figures
from harness.record import Baseline


class Rule(NamedTuple):
    """One way to judge a run.

    Args:
        name: what it is called in the table.
        way: how the runs that it judges are run: "float64", "float32" or "replay".
        alarms: tells of a baseline (of a free float32 run, which nothing was measured of, its record) and a record
            whether the rule turns red.
    """

    name: str
    way: str
    alarms: Callable[[Any, Record], bool]


def ours(baseline: Baseline, record: Record) -> bool:
    """The gate: `compare` says "different"; drift passes."""
    return compare(baseline, record).verdict == "different"


def bit_exact_loss(baseline: Record, record: Record) -> bool:
    """Every step's loss is equal: `scripts/loss_compare.py --assert-equal` of pytorch/torchtitan.

    That script compares the digits in a log; here all bits count.
    """
    return losses(baseline) != losses(record)


def close_loss(baseline: Record, record: Record) -> bool:
    """`num_regression.check({"loss": losses})` of pytest-regressions at its defaults.

    They are those of numpy.isclose, rtol 1e-5 and atol 1e-8, and equal_nan=True (dataframe_regression.py).
    """
    obtained, expected = losses(record), losses(baseline)
    return len(obtained) != len(expected) or not np.isclose(obtained, expected, equal_nan=True).all()


def golden_values(baseline: Record, record: Record) -> bool:
    """The "approximate" test of NVIDIA/Megatron-LM: 5 % of the loss at steps 1, 5, 10, ..., of which one may fail.

    tests/functional_tests/python_test_utils/common.py (`read_tb_logs_as_list`, `pipeline`) and
    test_pretraining_regular_pipeline.py (`CHECK_THRESHOLDS`): values rounded to five places, rtol 0.05, atol 0; one
    failing value in a hundred is allowed, at least one.
    """
    golden, actual = (np.round(_every_fifth(losses(run)), 5) for run in (baseline, record))
    steps = (len(losses(baseline)) // 5 * 5 - 1) / 5 + 1
    allowed = min(max(steps // 100, 1), 50)
    return bool(np.isclose(actual, golden, rtol=0.05, atol=0).mean() < 1 - allowed / steps)


def final_accuracy(baseline: Record, record: Record) -> bool:
    """The last evaluation's accuracy is within two percentage points."""
    before, now = (run.streams["evaluation/accuracy"].values[-1] for run in (baseline, record))
    return not abs(now - before) <= 0.02 + 1e-9


def labelled_curve(baseline: Record, record: Record) -> bool:
    """pytest-mpl at its defaults (style classic, tolerance 2) on an ordinary labelled loss curve."""
    return _look_different(*(_ordinary_curve(losses(run)) for run in (baseline, record)))


def digits_figure(baseline: Baseline, record: Record) -> bool:
    """pytest-mpl at its default tolerance on our own loss figure, which carries the leading digits."""
    if not all(map(math.isfinite, losses(record))):
        return True  # the figure refuses to be drawn, so its test fails
    return _look_different(figures.loss_curve(baseline.record), figures.loss_curve(record))


RULES = (
    Rule("ours: `compare`, float64", "float64", ours),
    Rule("ours: `compare`, float32 put back on states", "replay", ours),
    Rule("ours: float64 loss figure under pytest-mpl", "float64", digits_figure),
    Rule("loss bit for bit (torchtitan)", "float32", bit_exact_loss),
    Rule("loss within 1e-5 (pytest-regressions' default)", "float32", close_loss),
    Rule("labelled loss curve (pytest-mpl's default)", "float32", labelled_curve),
    Rule("golden losses within 5 % (Megatron-LM)", "float32", golden_values),
    Rule("final accuracy within 2 points", "float32", final_accuracy),
)


def losses(record: Record) -> list[float]:
    """Return the training loss of every step."""
    return [float(value) for value in record.streams["loss"].values]


def _every_fifth(values: list[float]) -> list[float]:
    return [value for step, value in enumerate(values, 1) if step == 1 or step % 5 == 0]


def _ordinary_curve(values: list[float]) -> Figure:
    with pyplot.style.context("classic", after_reset=True):
        figure, axes = pyplot.subplots()
        axes.plot(values, label="training loss")
        axes.set(title="Training", xlabel="step", ylabel="loss")
        axes.legend()
        pyplot.close(figure)
        return figure


def _look_different(expected: Figure, actual: Figure) -> bool:
    with tempfile.TemporaryDirectory() as folder, pyplot.style.context("classic", after_reset=True):
        paths = [Path(folder, name) for name in ("expected.png", "actual.png")]
        for figure, path in zip((expected, actual), paths, strict=True):
            figure.savefig(path)
        return compare_images(*map(str, paths), tol=2, in_decorator=True) is not None
