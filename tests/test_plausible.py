"""Promises of plausibility: no baseline loosens its own judge, and none that a training wrote is refused."""

import dataclasses

import pytest

from harness import errors
from harness.baselines.store import load_baseline, save_baseline
from harness.comparing.metrics import summary
from harness.comparing.plausible import implausible
from harness.comparing.variants import DRAWS, KERNELS, measured
from harness.record import Baseline, Calibration
from tests.test_comparison import series
from tests.test_record import SHIPPED, record_of


STREAMS = {
    "batch/images": series(1.0, 1.0, 1.0, stage="data"),
    "learning_rate/w": series(0.1, 0.1, 0.1, stage="schedule"),
    "init/w": series(1.0, stage="init"),
    "loss": series(1.0, 0.5, 0.25),
    "gradient/w": series(1.0, 1.0, 1.0, stage="backward"),
}
SIZES = {"init": (2e-16,), "loss": (1e-16, 2e-16, 4e-16), "gradient": (1e-15,)}
"""Of a float64 training of three steps."""
LOW_SIZES = {"loss": (1e-7, 1e-6), "gradient": (1e-5,), "distance/weight": (0.0, 1e-3)}
"""Of a float32 one with states at steps 0 and 2."""


def high(**changes):
    """A float64 baseline with thresholds, as a training writes it, or with something that none does."""
    parts = {"variants": tuple(draw.text for draw in DRAWS), "margin": 30.0, "largest": SIZES}
    return Baseline(record_of(STREAMS), calibration=Calibration(**{**parts, **changes}))


def low(source="recorder", **changes):
    """A float32 baseline with thresholds and states, likewise."""
    variants = tuple(run.text for run in (*KERNELS, *DRAWS))
    parts = {"variants": variants, "margin": 3.0, "largest": LOW_SIZES, "states": "0" * 64, "steps": (0, 2)}
    record = record_of(STREAMS, precision="float32", source=source)
    return Baseline(record, calibration=Calibration(**{**parts, **changes}))


def seeded(**changes):
    """A baseline with the summaries of three seeds, the first its own record's, some of them changed."""
    record = record_of(STREAMS, seed=5)
    own = summary(record)
    return Baseline(record, seeds={5: {**own, **changes}, 6: {**own, "loss": 0.3}, 7: {**own, "loss": 0.2}})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_trainings_wrote_is_plausible(path):
    """All baselines of the gate."""
    assert implausible(Baseline.from_text(path.read_text())) == ""


@pytest.mark.parametrize(
    "baseline",
    [
        high(),
        low(),
        seeded(),
        Baseline(record_of(STREAMS)),
        high(states="0" * 64, steps=(0, 2), largest={"batch/images": (1e-3,), "distance/weight": (1e-16,)}),
        high(variants=("jitter 1",), inherited=True),
        high(largest={"loss": (0.0, 1e-10, 1e-5, 1.0, 1.0)}),
        low(largest={"loss": (0.3,), "gradient": (1.0,)}),
        high(largest={"learning_rate/w": (0.0, 1.0)}),
    ],
    ids=["high", "low", "seeds", "plain", "dull", "fewer", "longer", "noise", "adaptive"],
)
def test_what_a_training_can_show_is_plausible(baseline):
    """Rounding that grows, thresholds from states, a rate that follows the loss, a variant that took more steps."""
    assert implausible(baseline) == ""


@pytest.mark.parametrize(
    ("baseline", "reason"),
    [
        (high(margin=1000.0), "thresholds of 1000 times what was measured, where it is 30 times"),
        (low(margin=30.0), "thresholds of 30 times"),
        (high(variants=("jitter 1", "jitter 99")), "a variant that was not planned, or twice: 'jitter 99'"),
        (high(variants=("jitter 1", "jitter 1")), "or twice: 'jitter 1'"),
        (high(variants=("2 threads",)), "a variant that was not planned"),
        (low("event files"), "measured thresholds, though it was read from event files"),
        (low(states="", steps=(0,)), "thresholds that count from stored states, and no states"),
        (high(steps=(0, 1)), "thresholds that count from stored states, and no states"),
        (low(steps=(0, 9)), "a state at step 9, of 3 steps"),
        (high(largest={"made up": (1.0,)}), "a threshold of 'made up', which it does not hold"),
        (high(largest={"distance/weight": (0.1,)}), "a threshold of 'distance/weight', which it does not hold"),
        (low(largest={"distance/loss": (0.1,)}), "a threshold of 'distance/loss', which it does not hold"),
        (high(largest={"loss": (1e-9, 1e-15)}), "thresholds of 'loss' that shrink within a segment"),
        (high(largest={"loss": (1e-16, 1e-16, 1e-16, 1e-2)}), "thresholds of 'loss' for more steps than it has"),
        (low(largest={"loss": (0.0, 0.0, 0.5)}), "thresholds of 'loss' for more steps than it has"),
        (high(largest={"batch/images": (1e-9,)}), "'batch/images' moved in the first step, before any weight"),
        (high(largest={"learning_rate/w": (1e-9,)}), "'learning_rate/w' moved in the first step"),
        (high(largest={"init": (1e-9,)}), "'init' moved by 1.0e-09 when every weight moved by one unit in the last"),
        (high(largest={"loss": (1.0,)}), "moves every number of stage forward by 1.0e+00 in the first two steps"),
        (high(largest={"loss": (1e-16, 1e-7)}), "every number of stage forward by 1.0e-07 in the first two steps"),
        (high(largest={"gradient": (1e-6,)}), "every number of stage backward by 1.0e-06 in the first two steps"),
        (
            low(largest={"loss": (0.5,)}),
            "every number of stage forward by 5.0e-01 in the first step after a stored state",
        ),
        (dataclasses.replace(seeded(), seeds={9: {}}), "summaries of other seeds than 5 and those that follow"),
        (dataclasses.replace(seeded(), seeds={5: {}, 7: {}, 8: {}}), "summaries of other seeds than 5"),
        (seeded(loss=99.0), "a summary of seed 5 that is not its own record's, in loss"),
        (seeded(profit=1.0), "a summary of seed 5 that is not its own record's, in profit"),
        (seeded(loss=float("nan")), "a summary of seed 5 that is not its own record's, in loss"),
    ],
)
def test_what_no_training_can_show_is_refused(tmp_path, baseline, reason):
    """Though its checksum fits: whoever wrote it wanted to be let through."""
    assert reason in implausible(baseline)

    save_baseline(tmp_path / "a.json", baseline)
    with pytest.raises(errors.BaselineCorruptError, match="what its own training cannot have shown"):
        load_baseline(tmp_path / "a.json", "pytest")


def test_what_is_measured_is_plausible():
    """Whatever the variants did: more steps, other kinds of numbers, other counts."""
    record = record_of(STREAMS)
    longer = {
        **STREAMS,
        "loss": series(1.0, 0.5 + 2.0**-50, 0.25, 0.2, 0.1),
        "init/w": series(1.0 + 2.0**-52, stage="init"),
        "only here": series(1.0),
        "gradient/w": series(1.0, 1.0, stage="backward"),
    }
    found = measured(record, None, {"jitter 1": record_of(longer)})

    assert implausible(Baseline(record, calibration=found)) == ""
    assert "only here" not in found.largest
    assert found.largest["loss"][-1] == found.largest["gradient"][-1] == 1.0
